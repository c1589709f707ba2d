from typing import Any

import pytest

from search.api.domain import Point
from search.api.network import Site
from search.api.trial import Origin, Outcome, Trial
from spaces.ckks.layers import Layers
from spaces.ckks.options import CkksConfig
from spaces.ckks.rules import expected_bits
from spaces.ckks.space import CkksSpace
from spaces.ckks.synthesis import Synthesis, failures, target_precision

WANTED = ("precision_ckks >= 12 bit",)


def space(**options: Any) -> CkksSpace:
    return CkksSpace(None, CkksConfig(**{"depth": 5, **options}))


def trial(number: int, point: Point, status: Any = "complete", **outcome: Any) -> Trial:
    told = Outcome(number, status if status != "running" else "complete", **outcome)
    return Trial(number, point, 0, Origin("sampler"), status, (1.0,), told)


def mended(of: CkksSpace, *rounds: dict[str, Any]) -> list[Any]:
    """The proposals after each failure, the first one before any."""
    trials: list[Trial] = []
    points = []
    for failure in (*rounds, None):
        point = of.synthesise(trials, WANTED)
        points.append(point)
        if point is None or failure is None:
            break
        trials.append(trial(len(trials), point, **failure))
    return points


def test_the_first_point_is_the_smallest_dimension_with_the_largest_scale() -> None:
    found = space()
    params = found.build(found.synthesise((), WANTED) or {})
    assert params.log_n == 13
    assert (params.chain.first, params.chain.special) == (32, (44,))
    assert params.chain.levels == (27,) * 5
    assert params.scale == 27
    slack = found.demands.security.slack(params)
    assert slack is not None
    assert 0 <= slack < 7  # one bit more of scale takes seven bits of modulus
    assert expected_bits(params.scale, params.log_n) >= 13


def test_more_precision_takes_a_larger_dimension() -> None:
    point = space().synthesise((), ("precision_ckks >= 15 bit",))
    assert point is not None
    assert (point["log_n"], point["scale"]) == (14, 50)


def test_without_a_constraint_the_option_of_the_space_counts() -> None:
    low = space(target_precision=3).synthesise((), ())
    high = space(target_precision=20).synthesise((), ("latency_ckks <= 5 ms",))
    assert low is not None
    assert high is not None
    assert (low["log_n"], high["log_n"]) == (13, 14)


def test_outputs_beyond_one_widen_the_head_room() -> None:
    point = space(output_range=100.0).synthesise((), WANTED)
    assert point is not None
    assert point["headroom"] == 12


def test_a_dimension_has_room_for_the_widest_tensor_in_one_ciphertext() -> None:
    sites = (
        Site("a", "linear", "linear", (784,), (6000,)),
        Site("b", "activation", "square", (6000,), (6000,)),
        Site("c", "linear", "linear", (6000,), (10,)),
    )
    point = CkksSpace(Layers(sites)).synthesise((), ())
    assert point is not None
    assert point["log_n"] == 14


def test_it_stops_when_the_target_holds_and_while_it_runs() -> None:
    found = space()
    point = found.synthesise((), WANTED) or {}
    assert found.synthesise([trial(0, point)], WANTED) is None
    assert found.synthesise([trial(0, point, "running")], WANTED) is None
    other = trial(0, {**point, "scale": 26}, excess={"precision_ckks >= 12 bit": 9.0})
    assert found.synthesise([other], WANTED) == point


@pytest.mark.parametrize(
    ("failure", "name", "after"),
    [
        ({"excess": {"precision_ckks >= 12 bit": 1.5}}, "log_n", 14),
        ({"status": "failed", "error": "imprecise: 2 bits, expected 10"}, "log_n", 14),
        ({"status": "gated", "excess": {"agreement_ckks >= 99 %": 0.4}}, "log_n", 14),
        ({"status": "infeasible", "excess": {"overflow": 1.2}}, "headroom", 7),
        ({"status": "infeasible", "excess": {"insecure": 1.0}}, "log_n", 14),
        ({"status": "failed", "error": "memory: 9 GB"}, "input_packing", "columns"),
        ({"excess": {"key_mb <= 100 MB": 20.0}}, "input_packing", "columns"),
        ({"status": "infeasible", "excess": {"slots": 1.0}}, "log_n", 14),
    ],
)
def test_each_failure_moves_the_one_quantity_behind_it(
    failure: dict[str, Any], name: str, after: object
) -> None:
    first, second = mended(space(), failure)
    assert first[name] != after
    assert second[name] == after


def test_depth_adds_a_level_where_the_space_has_one() -> None:
    short = {"status": "infeasible", "excess": {"depth": 1.0}}
    found = space(spare_levels=(0, 2))
    first, second = mended(found, short)
    lengths = [len(found.build(p).chain.levels) for p in (first, second)]
    assert lengths == [5, 6]
    assert mended(space(), short)[1] is None


def test_what_nothing_mends_ends_it() -> None:
    assert mended(space(), {"excess": {"latency_ckks <= 5 ms": 2.0}})[1] is None
    assert mended(space(input_packing=("plain",)), {"status": "crashed"})[1] is None
    many = [{"excess": {"precision_ckks >= 12 bit": 5.0}}] * 20
    points = mended(space(), *many)
    assert points[-1] is None
    assert len(points) < 12


def test_several_failures_in_a_row_and_at_once() -> None:
    both = {"status": "failed", "excess": {"imprecise": 2.0, "overflow": 1.0}}
    _, second, third = mended(space(), both, {"status": "failed", "error": "memory: full"})
    assert (second["log_n"], second["headroom"]) == (14, 6)
    assert third == {**second, "input_packing": "columns"}


def test_degrees_rise_when_no_scale_is_left() -> None:
    sites = (
        Site("a", "linear", "linear", (8,), (8,)),
        Site("r", "activation", "relu", (8,), (8,)),
        Site("b", "linear", "linear", (8,), (2,)),
    )
    found = CkksSpace(Layers(sites), CkksConfig(log_n=(14,), scale=(30, 30), degree=(3, 7, 15)))
    points = mended(found, *[{"status": "failed", "error": "imprecise: bad"}] * 4)
    assert [p and p["degree"] for p in points] == [7, 15, None]


def test_it_is_a_function_of_its_arguments() -> None:
    assert Synthesis(space()).next((), WANTED) == Synthesis(space()).next((), WANTED)


def test_words_of_failures() -> None:
    point: Point = {"x": 1}
    assert failures(trial(0, point)) == {}
    assert failures(trial(0, point, excess={"precision_ckks >= 12 bit": -1.0})) == {}
    assert failures(trial(0, point, "crashed")) == {"crash": 2.0}
    assert failures(trial(0, point, "failed", error="timeout: 600 s")) == {"timeout": 2.0}
    assert failures(trial(0, point, "failed", error="ValueError: x")) == {}


@pytest.mark.parametrize(
    ("constraints", "bits"),
    [
        ((), None),
        (("latency_ckks <= 3 ms",), None),
        (("precision_ckks <= 3 bit",), None),
        (("precision_ckks >= 12 bit", "worst_precision_ckks >= 13 bit"), 13.0),
        (("not a constraint",), None),
    ],
)
def test_the_target_comes_from_the_constraints(
    constraints: tuple[str, ...], bits: float | None
) -> None:
    assert target_precision(constraints) == bits


def test_layers_rescale_soon_where_the_scale_has_bits_to_spare() -> None:
    sites = (
        Site("a", "linear", "linear", (64,), (32,)),
        Site("b", "activation", "square", (32,), (32,)),
        Site("c", "linear", "linear", (32,), (10,)),
    )
    found = CkksSpace(Layers(sites), CkksConfig(log_n=(13, 14), scale=(22, 36), drops=("each",)))
    wanted = {bits: found.synthesise((), (f"precision_ckks >= {bits} bit",)) for bits in (17, 21)}
    assert all(point is not None and point["log_n"] == 13 for point in wanted.values())
    assert [point["rescaling"] for point in wanted.values() if point] == ["soon", "last"]
    missed = trial(0, wanted[17] or {}, excess={"precision_ckks >= 17 bit": 1.0})
    second = found.synthesise([missed], ("precision_ckks >= 17 bit",))
    assert second == {**(wanted[17] or {}), "rescaling": "last"}


def test_a_space_that_always_rescales_soon_takes_a_larger_dimension() -> None:
    linear = [Site(f"fc{i}", "linear", "linear", (32,), (32,)) for i in range(3)]
    squares = [Site(f"act{i}", "activation", "square", (32,), (32,)) for i in range(2)]
    layers = Layers((linear[0], squares[0], linear[1], squares[1], linear[2]))
    dimensions = []
    for rescaling in ("last", "soon"):
        options = CkksConfig(log_n=(13, 14), drops=("each",), rescaling=(rescaling,))
        point = CkksSpace(layers, options).synthesise((), WANTED)
        dimensions.append((point or {})["log_n"])
    assert dimensions == [13, 14]


def squares(count: int) -> Layers:
    sites = [Site("fc", "linear", "linear", (32,), (32,))]
    for i in range(count):
        sites += [Site(f"act{i}", "activation", "square", (32,), (32,)),
                  Site(f"fc{i}", "linear", "linear", (32,), (32,))]  # fmt: skip
    return Layers(tuple(sites))


def test_pairs_come_first_where_they_are_precise_enough() -> None:
    found = CkksSpace(squares(2))
    point = found.synthesise((), WANTED) or {}
    assert (point["log_n"], point["drops"]) == (13, "paired")
    params = found.build(point)
    assert len(params.chain.levels) == 3
    pair = point["scale"] + point["weight_bits"]  # type: ignore[operator]
    assert params.chain.levels == (pair, pair, point["scale"])
    assert params.chain.special[0] >= pair
    assert point["weight_bits"] >= point["scale"] - 1  # type: ignore[operator]


def test_what_pairs_cannot_give_is_had_by_primes_for_each() -> None:
    """Scales that rise behind primes of 60 bits leave no room for the first prime."""
    point = CkksSpace(squares(1)).synthesise((), ("precision_ckks >= 30 bit",)) or {}
    assert point["drops"] == "each"
    assert "weight_bits" not in point


def test_missed_precision_ends_pairs() -> None:
    found = CkksSpace(squares(2), CkksConfig(log_n=(13,)))
    first, second = mended(found, {"excess": {"precision_ckks >= 12 bit": 1.0}})
    assert [first["drops"], (second or {}).get("drops")] == ["paired", "each"]


@pytest.mark.parametrize("word", ["no_primes", "scale_mismatch"])
def test_primes_that_do_not_serve_are_replaced(word: str) -> None:
    found = space()
    first, second, *_ = mended(found, {"status": "failed", "error": f"{word}: as the library says"})
    assert second is not None
    assert found.build(second).chain != found.build(first).chain
    assert found.build(second).scale > found.build(first).scale
