"""Phases: forwards in order, backwards only where that makes sense, and not for ever."""

from __future__ import annotations

import pytest

from agents.phases import MEANING, ORDER, Progress, WrongPhase


def test_phases_go_forwards_and_may_be_left_out() -> None:
    progress = Progress()
    for phase in ("global", "predicted", "confirm", "report"):
        progress.enter(phase, "next")
    assert [step.phase for step in progress.steps] == ["global", "predicted", "confirm", "report"]


def test_going_back_needs_its_own_word_and_a_way() -> None:
    progress = Progress()
    progress.enter("predicted", "")
    with pytest.raises(WrongPhase, match="go back instead"):
        progress.enter("global", "")
    assert progress.back("global", "refused")
    with pytest.raises(WrongPhase, match="no way back"):
        progress.back("understand", "")


def test_it_is_stuck_after_too_many_returns() -> None:
    progress = Progress(most_returns=2)
    for _ in range(2):
        progress.enter("confirm", "")
        assert progress.back("global", "failed")
    progress.enter("confirm", "")
    assert progress.stuck
    assert not progress.back("global", "failed")
    assert progress.phase == "confirm"


def test_the_state_is_told_in_plain_words() -> None:
    told = Progress().describe()
    assert told["phase"] == "understand"
    assert told["next"] == ["global"]
    assert told["returns_left"] == 6
    assert set(MEANING) == set(ORDER)
