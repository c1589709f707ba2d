import json
import pickle
import random
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from search.api.candidate import Candidate, to_plain
from search.api.domain import Choice, Ordinal, Point, Real, Vector, sample_point
from search.api.errors import ConfigError, InfeasibleCandidate
from search.api.protocols import Decodes, HasUsage, Repairing, Space
from spaces.pruning.plan import LayerLevels, LayerPruning, PruningPlan, Schedule
from spaces.pruning.space import PruningRatio, PruningRatioConfig

PAPER = {"conv1": 0.2, "conv2": 0.08, "fc1": 0.009, "fc2": 0.07}


def space(network: Any, **options: Any) -> PruningRatio:
    return PruningRatio.from_config(PruningRatioConfig(**options), network)


def kept(made: PruningRatio, point: Point) -> int:
    return sum(made.build(point).nonzeros(made.sites).values())


def test_one_vector_over_the_layers(lenet: Any) -> None:
    made: Space[PruningPlan] = space(lenet)
    (param,) = made.params()
    assert (param.name, param.domain) == ("keep", Vector(Real(0.002, 1.0, log=True), 4))
    assert space(lenet).members("keep") == ("conv1", "conv2", "fc1", "fc2")
    for protocol in (Repairing, HasUsage, Decodes):
        assert isinstance(made, protocol)


def test_the_papers_vector_keeps_6050_of_430500_weights(lenet: Any) -> None:
    made = space(lenet, ratio=71)
    point = {"keep": made.kept_vector(PAPER)}
    assert not made.check(point)
    assert made.build(point).nonzeros(lenet.sites()) == {
        "conv1": 100, "conv2": 2000, "fc1": 3600, "fc2": 350
    }  # fmt: skip
    assert kept(made, point) == 6050
    assert round(430_500 / 6050, 1) == 71.2


def test_246x_is_1750_weights(lenet: Any) -> None:
    made = space(lenet, ratio=246)
    assert made.allowed == 1750
    legal = made.repair({"keep": made.kept_vector(PAPER)})
    assert kept(made, legal) == 1750


def test_everything_may_be_chosen(lenet: Any) -> None:
    made = space(
        lenet,
        structure={"search": ["element", "filter", "filter+column"]},
        bits=[2, 4],
        levels=["equal", "ternary"],
        rounds=[1, 3],
        rho_first=[1e-4, 1e-2],
        skip=["conv1"],
    )
    names = {p.name: p.domain for p in made.params()}
    assert list(names) == ["keep", "structure", "bits", "levels", "rounds", "rho_first"]
    assert names["structure"] == Vector(Choice(("element", "filter", "filter+column", "column")), 3)
    assert names["bits"] == Vector(Ordinal((2, 4)), 3)
    assert made.members("structure") == made.members("bits") == ("conv2", "fc1", "fc2")
    assert made.members("rounds") == ()
    plan = made.build({
        "keep": (0.5, 0.25, 0.1, 1.0, 0.3), "structure": ("filter+column", "element", "column"),
        "bits": (2, 4, 4), "levels": ("equal", "equal", "ternary"), "rounds": 2, "rho_first": 1e-3,
    })  # fmt: skip
    assert plan.layers == (
        LayerPruning("conv2", "filter", 25, 50),
        LayerPruning("conv2", "column", 125, 500),
        LayerPruning("fc1", "element", 40_000, 400_000),
        LayerPruning("fc2", "column", 150, 500),
    )
    assert plan.levels == (
        LayerLevels("conv2", 2), LayerLevels("fc1", 4), LayerLevels("fc2", 1, "ternary")
    )  # fmt: skip
    assert plan.schedule == Schedule(2, 1e-3, Schedule.rho_last)


def test_structures_that_a_layer_lacks_break_a_rule(lenet: Any) -> None:
    made = space(lenet, structure={"search": ["pattern", "filter", "column"]})
    point = {"keep": (0.5,) * 4, "structure": ("filter", "filter", "pattern")}
    (violation,) = made.check(point)
    assert (violation.rule, violation.detail) == (
        "structure", "fc1: got pattern; expected filter or column"
    )  # fmt: skip
    assert made.repair(point)["structure"] == ("filter", "filter", "filter")


def test_all_layers_alike_is_the_uniform_baseline(lenet: Any) -> None:
    made = space(lenet, granularity="network", ratio=71)
    (param,) = made.params()
    assert param.domain == Real(0.002, 1.0, log=True)
    assert made.members("keep") == ("network",)
    legal = made.repair({"keep": 1.0})
    assert 6060 <= kept(made, legal) <= 6063
    shares = {e.site: e.keep for e in made.build(legal).layers}
    assert max(shares.values()) - min(shares.values()) < 0.01


def test_filters_that_agree_are_kept_alike(residual: Any) -> None:
    made = space(residual, structure="filter", ratio=2)
    rng = random.Random(0)
    for _ in range(20):
        plan = made.build(made.repair(sample_point(made.params(), rng)))
        counts = {e.site: e.kept for e in plan.layers}
        assert counts["stem"] == counts["b"] == counts["depthwise"]
        assert "classifier" not in counts


def test_a_hand_set_vector_is_a_study_of_one_point(lenet: Any) -> None:
    made = space(lenet, fixed=PAPER, ratio=71)
    (param,) = made.params()
    assert param.domain == Choice(("fixed",))
    assert kept(made, {"keep": "fixed"}) == 6050
    assert made.repair({"keep": "fixed"}) == {"keep": "fixed"}
    assert made.point(made.build({"keep": "fixed"})) == {"keep": "fixed"}


def test_quantising_alone(lenet: Any) -> None:
    made = space(lenet, fixed={"*": 1.0}, levels="binary")
    plan = made.build({"keep": "fixed"})
    assert plan.layers == ()
    assert {(x.bits, x.levels) for x in plan.levels} == {(1, "binary")}


@pytest.mark.parametrize(
    "keep", [None, (), (0.5,) * 3, (0.5, 0.5, 0.5, 1.1), (0.5, "x", 0.5, 0.5), 0.5,
             (0.5, float("nan"), 0.5, 0.5), (0.0, 0.5, 0.5, 0.5)],
)  # fmt: skip
def test_values_outside_the_domain_are_violations(lenet: Any, keep: Any) -> None:
    made = space(lenet)
    point = {} if keep is None else {"keep": keep}
    assert {v.rule for v in made.check(point)} == {"domain"}
    with pytest.raises(InfeasibleCandidate, match="keep: got"):
        made.build(point)


@pytest.mark.parametrize("keep", [None, (0.5,), (0.5, "x", 0.5, 0.5), 0.5,
                                  (0.5, float("nan"), 0.5, 0.5)])  # fmt: skip
def test_repair_gives_up_on_what_is_no_vector_of_numbers(lenet: Any, keep: Any) -> None:
    with pytest.raises(InfeasibleCandidate, match="keep"):
        space(lenet).repair({} if keep is None else {"keep": keep})


def test_repair_moves_into_the_domain_and_keeps_foreign_names(lenet: Any) -> None:
    made = space(lenet)
    legal = made.repair({"keep": (0.0, 2.0, 0.5, 1), "learning_rate": 0.1})
    assert legal == {"keep": (0.002, 1.0, 0.5, 1), "learning_rate": 0.1}


def test_plans_go_through_json_and_pickle(lenet: Any) -> None:
    made = space(lenet, bits=[2, 4])
    plan = made.build({"keep": (0.5,) * 4, "bits": (2, 4, 4, 2)})
    assert made.decode(json.loads(json.dumps(to_plain(plan)))) == plan
    point = made.point(plan)
    assert pickle.loads(pickle.dumps(made)).build(point) == plan
    works = {w.site: w for w in made.usage(plan)}
    assert works["conv2"].macs == 12_500 * 64


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"structure": "row"}, r"space\.structure: unknown structure 'row'"),
        ({"skip": ["*"]}, "nothing to prune or quantise"),
        ({"structure": {"conv3": "filter"}}, "no layer is called 'conv3'"),
        ({"ratio": 1e6}, r"space\.ratio: at most 500"),
        ({"levels": "binary"}, r"space\.levels: binary levels have no zero"),
        ({"rounds": 0}, r"space\.rounds"),
        ({"rho_last": "high"}, r"space\.rho_last"),
    ],
)
def test_wrong_options_say_where_and_what(
    lenet: Any, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        space(lenet, **options)


def test_without_a_network_the_message_says_what_to_add() -> None:
    with pytest.raises(ConfigError, match=r"workload: .*Add a `workload:` section"):
        PruningRatio.from_config(PruningRatioConfig(), None)


SPACES: list[dict[str, Any]] = [
    {},
    {"ratio": 8, "spend": 1.0},
    {"structure": "filter", "ratio": 3},
    {"structure": ["filter", "column"], "ratio": 5, "spend": 0.99},
    {"structure": {"search": ["element", "filter", "filter+column", "nm"]}, "ratio": 6, "m": 2},
    {"structure": {"a": "pattern", "*": "column"}, "bits": [2, 4, 8],
     "levels": ["binary", "power_of_two", "ternary"], "ratio": 1.5},
    {"granularity": "network", "ratio": 4, "spend": 1.0, "fixed": {"stem": 1.0}},
    {"rho_first": [1e-3, 1e-1], "rho_last": [1e-2, 1e-1], "rounds": [1, 3], "low": 0.2},
]  # fmt: skip


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(SPACES), st.integers(0, 2**32))
def test_repair_is_legal_idempotent_and_keeps_what_is_legal(
    residual: Any, options: dict[str, Any], seed: int
) -> None:
    made = space(residual, **options)
    point = sample_point(made.params(), random.Random(seed))
    legal = made.repair(point)
    assert not made.check(legal)
    assert made.repair(legal) == legal
    if not made.check(point):
        assert legal == point
    plan = made.build(legal)
    if made.allowed is not None:
        assert sum(plan.nonzeros(made.sites).values()) <= made.allowed
    assert all(entry.kept >= 1 for entry in plan.layers)
    assert made.build(made.point(plan)) == plan
    digest = Candidate(made.kind, plan).digest
    again = made.decode(json.loads(json.dumps(to_plain(plan))))
    assert Candidate(made.kind, again).digest == digest


def test_loads_without_torch() -> None:
    code = "import sys, spaces.pruning.space; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
