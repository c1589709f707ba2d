"""Tables of chains: the same verdicts and numbers as one by one, noise only where asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from agents.expert_table import Table, judged, possible
from agents.expert_wish import Wish
from agents.workbench import StudyBench

SPACE: dict[str, Any] = {"name": "ckks", "log_n": [12, 13], "scale": [28, 42], "drops": ["each"],
                         "headroom": [3, 6], "special_gap": [12, 12]}  # fmt: skip


@pytest.fixture
def bench(digits_bench: Callable[..., StudyBench]) -> StudyBench:
    return digits_bench("predicted_latency_ckks", ("predicted_precision >= 18 bit",), space=SPACE)


def points_of(log_n: int) -> list[Any]:
    return [
        {"log_n": log_n, "scale": scale, "headroom": room, "input_packing": "plain",
         "rescaling": "last"}
        for scale in range(28, 43, 2) for room in (3, 4, 5, 6)
    ]  # fmt: skip


def table_of(bench: StudyBench) -> Table:
    assert bench.forecast is not None
    points = points_of(13)
    sets = [bench.forecast.space.read(p) for p in points]
    return judged(points, sets, bench.forecast)


def test_verdicts_and_times_are_those_of_single_points(bench: StudyBench) -> None:
    table, forecast = table_of(bench), bench.forecast
    assert forecast is not None
    kept = {str(p) for p in table.points}
    for point in points_of(13):
        effect = forecast.effect(point, precision=False)
        assert (str(point) in kept) == (not effect.broken), point
        if not effect.broken:
            at = [str(p) for p in table.points].index(str(point))
            for name in ("key_mb", "log_qp", "predicted_latency_ckks"):
                assert table.columns[name][at] == pytest.approx(effect.values[name]), name


def test_noise_is_followed_for_the_best_alone(bench: StudyBench) -> None:
    table = table_of(bench)
    assert bench.forecast is not None
    wish = Wish(bench.metrics[bench.goal.minimise], bench.aims)
    assert table.followed(wish, bench.forecast) == []
    (best,) = table.best(wish, bench.forecast, 1, 400)[:1]
    assert best.values["predicted_precision"] >= 18
    followed = table.columns["predicted_precision"]
    assert 0 < np.count_nonzero(~np.isnan(followed)) < len(table.points)
    assert table.promise(wish, bench.forecast) == pytest.approx(best.value)


def test_impossible_chains_are_left_out_at_once(bench: StudyBench) -> None:
    assert bench.forecast is not None
    small = [bench.forecast.space.read(p) for p in points_of(12)]
    assert possible(small, bench.forecast) == []
    large = [bench.forecast.space.read(p) for p in points_of(13)]
    kept = possible(large, bench.forecast)
    assert kept
    assert all(large[i].chain.log_qp <= 214 for i in kept)
