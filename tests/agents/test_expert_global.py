"""Enumeration: the best by the models, equal to looking at every point by itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from agents.expert_global import Enumeration
from agents.expert_wish import Wish, margin
from agents.workbench import StudyBench
from search.api.domain import active_params

SMALL: dict[str, Any] = {
    "name": "ckks", "log_n": [12, 13], "scale": [27, 36], "headroom": [5, 6],
    "special_gap": [11, 12], "drops": ["each"], "rescaling": ["last"],
}  # fmt: skip


def wish_of(bench: StudyBench) -> Wish:
    return Wish(bench.metrics[bench.goal.minimise], (*bench.aims, *bench.gates), reserve=0.0)


def every_point(bench: StudyBench) -> list[dict[str, Any]]:
    points: list[dict[str, Any]] = [{}]
    for param in active_params(bench.params, {}):
        domain: Any = param.domain
        values = getattr(domain, "options", None) or range(domain.low, domain.high + 1)
        points = [{**p, param.name: v} for p in points for v in values]
    return points


@pytest.mark.parametrize(
    ("minimise", "demand"),
    [
        ("predicted_latency_ckks", "predicted_precision >= 20 bit"),
        ("predicted_precision", "predicted_latency_ckks <= 45 ms"),
        ("predicted_latency_ckks", "predicted_precision >= 60 bit"),
    ],
)
def test_it_finds_what_looking_at_every_point_finds(
    digits_bench: Callable[..., StudyBench], minimise: str, demand: str
) -> None:
    bench = digits_bench(minimise, (demand,), space=SMALL)
    assert bench.forecast is not None
    wish = wish_of(bench)
    best: float | None = None
    for point in every_point(bench):
        effect = bench.forecast.effect(point)
        if effect.broken or wish.excess(effect.values, 0.0) > 0:
            continue
        value = effect.values[minimise]
        if best is None or wish.sign * value < wish.sign * best:
            best = value
    search = Enumeration(bench.forecast, bench.params, bench.check)
    found = search.ranked(wish, search.networks()[0])
    if best is None:
        assert found == []
        closest = search.closest(wish, search.networks()[0])
        assert closest is not None
        assert closest.values["predicted_precision"] < 60
    else:
        assert found[0].value == pytest.approx(best, rel=1e-6)
        assert all(wish.excess(r.values, 0.0) <= 0 for r in found)
        assert all(not bench.check(r.point) for r in found)


def test_demands_on_measured_metrics_keep_a_reserve(
    digits_bench: Callable[..., StudyBench],
) -> None:
    demands = ("precision_ckks >= 12 bit", "latency_ckks <= 1 s", "key_mb <= 50 MB")
    bench = digits_bench("latency_ckks", demands, encrypted=True)
    assert [margin(aim) for aim in bench.aims] == [0.7, pytest.approx(30.0), 0.0]


def test_networks_without_foreign_activations_have_one_choice(
    digits_bench: Callable[..., StudyBench],
) -> None:
    bench = digits_bench()
    assert bench.forecast is not None
    assert Enumeration(bench.forecast, bench.params, bench.check).networks() == [{}]


def test_without_time_it_makes_do_with_what_it_has(
    digits_bench: Callable[..., StudyBench],
) -> None:
    bench = digits_bench(space=SMALL)
    assert bench.forecast is not None
    wish = wish_of(bench)
    whole = Enumeration(bench.forecast, bench.params, bench.check)
    hasty = Enumeration(bench.forecast, bench.params, bench.check, patience=lambda: False)
    best = whole.ranked(wish, {})[0]
    first = hasty.ranked(wish, {})[0]
    assert first.point["input_packing"] == "plain"
    assert first.value > best.value
