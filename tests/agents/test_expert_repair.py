"""Repair: single steps that the models foretell to gain."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from agents.expert_repair import bottleneck_of, foretold, improved, layer_shares, neighbours
from agents.expert_wish import Wish
from agents.workbench import StudyBench
from search import Choice, Integer, Param, Vector

SPACE = {"name": "ckks", "log_n": [13], "scale": [24, 44]}


def start_of(bench: StudyBench, **changes: Any) -> tuple[Wish, Any]:
    wish = Wish(bench.metrics[bench.goal.minimise], (*bench.aims, *bench.gates))
    assert bench.forecast is not None
    point = {**bench.study.components.ladder.space.synthesise((), ()), **changes}
    found = foretold(bench.forecast, wish, point)
    assert found is not None
    return wish, found


def test_repairs_gain_step_by_step_and_keep_the_demands(
    digits_bench: Callable[..., StudyBench],
) -> None:
    bench = digits_bench("predicted_latency_ckks", ("predicted_precision >= 12 bit",), space=SPACE)
    wish, start = start_of(bench, drops="each", rescaling="last", input_packing="plain")
    assert bench.forecast is not None
    steps = list(improved(bench.forecast, bench.params, bench.check, wish, start))
    assert steps
    for step in steps:
        assert wish.excess(step.after.values) <= 0
        assert step.after.value <= step.before.value
        assert step.reason.startswith("latency: ")
    assert steps[-1].after.value < 0.95 * start.value


def test_a_missed_demand_is_mended_first(digits_bench: Callable[..., StudyBench]) -> None:
    bench = digits_bench("predicted_latency_ckks", ("predicted_precision >= 22 bit",), space=SPACE)
    wish, start = start_of(bench, scale=30, drops="each", rescaling="last")
    assert wish.excess(start.values) > 0
    assert bench.forecast is not None
    assert bottleneck_of(bench.forecast, wish, start)[0] == "precision"
    steps = list(improved(bench.forecast, bench.params, bench.check, wish, start))
    assert wish.excess(steps[-1].after.values) <= 0


def test_shares_are_those_of_layers(digits_bench: Callable[..., StudyBench]) -> None:
    bench = digits_bench(space=SPACE)
    _, start = start_of(bench)
    assert bench.forecast is not None
    for kind in ("latency", "precision", "memory"):
        shares = layer_shares(bench.forecast, start.point, kind)  # type: ignore[arg-type]
        assert len(shares) == 2
        assert min(shares) > 0


def test_neighbours_move_one_knob_of_the_layer() -> None:
    params = (
        Param("n", Integer(1, 5)),
        Param("embedding", Vector(Choice(("fold", "square")), 3)),
        Param("kind", Choice(("a", "b"))),
        Param("extra", Integer(0, 2), when={"kind": ("b",)}),
    )
    point = {"n": 5, "embedding": ("fold",) * 3, "kind": "a"}
    found = dict(neighbours(params, point, 1))
    assert found["embedding[1]"]["embedding"] == ("fold", "square", "fold")
    assert "embedding[0]" not in found
    assert found["kind"] == {**point, "kind": "b", "extra": 0}
    assert [p["n"] for k, p in neighbours(params, point) if k == "n"] == [4, 3]
    assert len([k for k, _ in neighbours(params, point) if k.startswith("embedding")]) == 3


@pytest.mark.parametrize("most", [0, 3])
def test_repair_ends_after_so_many_points(
    digits_bench: Callable[..., StudyBench], most: int
) -> None:
    bench = digits_bench("predicted_latency_ckks", (), space=SPACE)
    wish, start = start_of(bench, drops="each", rescaling="last")
    assert bench.forecast is not None
    steps = list(improved(bench.forecast, bench.params, bench.check, wish, start, most))
    assert len(steps) <= most
