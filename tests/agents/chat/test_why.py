"""Reasons from records and rules."""

from __future__ import annotations

from typing import Any

from agents.chat.why import why_point, why_trial


def test_points(talk: Any) -> None:
    with talk().chat.bench() as bench:
        assert list(why_point(bench, {"log_n": 13, "scale": 40})) == [
            "log_n=13, scale=40: breaks no rule."
        ]
        lines = list(why_point(bench, {"log_n": 12, "scale": 40}))
        assert lines[0].endswith("is not legal.")
        assert any("near and legal: log_n 12 -> 1" in line for line in lines)


def test_trials(talk: Any) -> None:
    with talk(["a"]).chat.bench() as bench:
        trial = bench.evaluate({"log_n": 14, "scale": 24}, "predicted", "to see")
        lines = list(why_trial(bench, trial))
        assert "proposed by chat: to see" in lines[1]
        assert any("memory <= 1000 MB: holds" in line for line in lines)
