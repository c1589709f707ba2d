"""What counts as a result."""

from __future__ import annotations

from typing import Any

from agents.outcome import best_of, confirmed, is_maximised, objective, refusal
from search.api.metric import Metric


def test_only_confirmed_trials_that_meet_the_demands_count(tiny_bench: Any) -> None:
    bench = tiny_bench()
    for log_n, scale, rung in (
        (13, 40, "predicted"), (14, 50, "encrypted"), (12, 20, "encrypted"), (13, 40, "encrypted")
    ):  # fmt: skip
        bench.evaluate({"log_n": log_n, "scale": scale}, rung, "")
    predicted, slow, coarse, good = bench.trials()
    assert not confirmed(bench, predicted)
    assert confirmed(bench, coarse)
    assert best_of(bench, bench.trials()) is good
    assert best_of(bench, [predicted, coarse]) is None
    assert objective(bench, good) == 1.0
    assert "no trial 9" in refusal(bench, 9)
    assert "not measured at 'encrypted'" in refusal(bench, 0)
    assert refusal(bench, 2) == "trial 2 does not meet the demands"
    assert refusal(bench, 3) == ""
    assert not is_maximised(bench)
    bench.metrics = {"latency": Metric("latency", "s", "max", "")}
    assert is_maximised(bench)
    assert best_of(bench, bench.trials()) is slow
