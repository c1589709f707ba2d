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
