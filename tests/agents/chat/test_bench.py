"""Dear runs need a yes."""

from __future__ import annotations

from typing import Any

import pytest

from agents.api import ToolError

GOOD = {"log_n": 13, "scale": 40}


def test_only_new_legal_dear_runs_are_asked_for(talk: Any) -> None:
    it = talk(["y"])
    with it.chat.bench() as bench:
        bench.evaluate(GOOD, "predicted", "")
        with pytest.raises(ToolError, match="illegal"):
            bench.evaluate({"log_n": 12, "scale": 40}, "encrypted", "")
        with pytest.raises(ToolError, match="no rung"):
            bench.evaluate(GOOD, "moon", "")
        with pytest.raises(ToolError, match="missing"):
            bench.evaluate({"log_n": 13}, "encrypted", "")
        assert not it.asked
        bench.evaluate(GOOD, "encrypted", "")
        bench.evaluate(GOOD, "encrypted", "")
    assert len(it.asked) == 1


def test_no_means_none_any_more_in_this_run(talk: Any) -> None:
    it = talk(["n"])
    with it.chat.bench() as bench:
        for scale in (40, 41):
            with pytest.raises(ToolError, match="rungs below it are still free"):
                bench.evaluate({"log_n": 13, "scale": scale}, "encrypted", "")
    assert len(it.asked) == 1


def test_a_person_may_take_time(talk: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    it = talk(["y"])
    now = [0.0]
    monkeypatch.setattr("agents.chat.bench.time.monotonic", lambda: now[0])
    with it.chat.bench() as bench:
        approve = bench._approve

        def slow(point: Any, up_to: str) -> str:
            now[0] += 5000.0
            return str(approve(point, up_to))

        bench._approve = slow
        bench.evaluate(GOOD, "encrypted", "")
        assert bench.spent.seconds < 1.0
