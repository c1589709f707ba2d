"""How sessions end: the choice is checked, and the expert stands behind it."""

from __future__ import annotations

from typing import Any

import pytest

from agents.controllers.closing import Backing, Choice, Closing, pursue
from agents.llm.dialogue import Dialogue
from agents.llm.scripted import ScriptedModel
from agents.transcript import Transcript


def dialogue_of(bench: Any, tools: Any) -> Dialogue:
    """A dialogue with a model that says nothing."""
    return Dialogue(ScriptedModel([]), bench, tools, Transcript())


def test_ctrl_c_ends_the_session_and_is_written_down(tiny_bench: Any, tools_of: Any) -> None:
    bench = tiny_bench()
    dialogue = dialogue_of(bench, tools_of(bench))

    def interrupted(_: Dialogue) -> Choice:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pursue("test", dialogue, Backing(), lambda text: None, interrupted)
    assert dialogue.transcript.events("end")[0]["ending"] == "stopped"


def test_what_a_failed_model_confirmed_is_kept(tiny_bench: Any, tools_of: Any) -> None:
    bench = tiny_bench()
    result = pursue(
        "test", dialogue_of(bench, tools_of(bench)), Backing(), lambda text: None, _confirms
    )
    assert result.ending == "stuck"
    assert result.chosen is not None
    assert "trial 0 is the best it had confirmed" in result.reason


def test_the_expert_does_not_replace_what_is_better(
    tiny_bench: Any, tools_of: Any, expert: Any
) -> None:
    bench = tiny_bench("precision >= 5 bit")
    small = {"log_n": 12, "scale": 20}

    def fast(dialogue: Dialogue) -> Choice:
        dialogue.bench.evaluate(small, "encrypted", "")
        raise_failure(dialogue)
        return Choice(0, "")

    result = pursue("test", dialogue_of(bench, tools_of(bench)), Backing(expert), print, fast)
    assert result.chosen is not None
    assert result.chosen.point == small


def test_an_expert_without_a_result_says_so(tiny_bench: Any, tools_of: Any, expert: Any) -> None:
    bench = tiny_bench("precision >= 99 bit")
    result = pursue(
        "test", dialogue_of(bench, tools_of(bench)), Backing(expert), lambda text: None, _gives_up
    )
    assert result.ending == "infeasible"
    assert result.fallback
    assert result.chosen is None
    assert "gave up" in result.reason
    assert "no ring holds" in result.reason


@pytest.mark.parametrize(
    "given", [{}, {"trial": True, "summary": ""}, {"trial": 1.5, "summary": ""},
              {"trial": 0, "summary": None}, {"trial": 44, "summary": ""}]
)  # fmt: skip
def test_choices_that_are_none(given: dict[str, Any], tiny_bench: Any, tools_of: Any) -> None:
    bench = tiny_bench()
    closing = Closing(dialogue_of(bench, tools_of(bench)))
    assert closing.offer(given)
    assert closing.choice is None


def _confirms(dialogue: Dialogue) -> Choice:
    dialogue.bench.evaluate({"log_n": 13, "scale": 40}, "encrypted", "")
    raise_failure(dialogue)
    return Choice(0, "")


def _gives_up(dialogue: Dialogue) -> Choice:
    return Choice(-1, "no idea")


def raise_failure(dialogue: Dialogue) -> None:
    """Ask a model that has nothing to say."""
    dialogue.ask([{"role": "user", "content": "?"}])
