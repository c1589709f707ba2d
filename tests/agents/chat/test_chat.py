"""The chat's own part: greeting, plan, approval, state."""

from __future__ import annotations

from typing import Any

from agents.api import Limits, SessionResult
from agents.chat.chat import typical_seconds
from agents.llm.scripted import ScriptedModel
from search.api.trial import Origin, Outcome, RungResult, Trial


def test_a_greeting_says_where_we_are(talk: Any) -> None:
    it = talk()
    it.chat.greet()
    assert "Study small, 0 trials" in it.text
    assert "Goal: minimise latency under memory <= 1 GB." in it.text
    assert "talked before" not in it.text
    it = talk(model=ScriptedModel([], "big"))
    it.chat.greet()
    assert "Model: big; the expert stands behind it." in it.text


def test_endings_without_a_choice_and_fallbacks_are_said(talk: Any) -> None:
    class Quitter:
        """Ends at once."""

        name = "quitter"

        def run(self, bench: Any, tools: Any, say: Any) -> SessionResult:
            """Nothing."""
            return SessionResult("infeasible", None, bench.spent, "nothing fits", fallback=True)

    it = talk(controller=Quitter())
    it("/run")
    assert it.said[-2:] == [
        "Not feasible: nothing fits",
        "The result is the expert's, which replaced the model.",
    ]


def test_given_limits_replace_recorded_ones(talk: Any) -> None:
    talk()("/budget turns=3")
    assert talk().chat.state.limits.turns == 3
    assert talk(limits=Limits(turns=9)).chat.state.limits.turns == 9


def test_the_price_of_a_run_is_known_from_earlier_ones() -> None:
    def trial(*rungs: RungResult) -> Trial:
        return Trial(0, {}, 0, Origin("user"), "complete", None, Outcome(0, "complete", rungs))

    one = trial(RungResult("low", 1.0), RungResult("top", 3.0))
    assert typical_seconds((one, trial(RungResult("low", 9.0))), "top") == 4.0
    assert typical_seconds((), "top") is None
