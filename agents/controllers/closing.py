"""How a session with a model ends: its choice is checked, and an expert stands behind it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from agents.api import Controller, Ending, SessionResult, Toolbox, Workbench
from agents.llm.claims import check_claims, facts_of, marked
from agents.llm.dialogue import Dialogue, Lost, OutOfBudget
from agents.llm.model import ModelFailure
from agents.outcome import best_of, refusal
from search.api.errors import ConfigError
from search.api.trial import Trial

NO_TRIAL = -1
COMMIT = "commit"
"""Tool that models do not see: what they finish with is committed for them once it is checked."""


@dataclass(frozen=True)
class Choice:
    """What a model settled on.

    Args:
        trial: number; -1 if it gave up.
        summary: its words, numbers of no record marked.
    """

    trial: int
    summary: str


class Closing:
    """Checks what a model wants to finish with; asks once to mend numbers of no record."""

    def __init__(self, dialogue: Dialogue) -> None:
        self._dialogue = dialogue
        self._asked = False
        self.choice: Choice | None = None

    def offer(self, arguments: Mapping[str, Any]) -> str:
        """Take the choice, or say why not (empty if taken)."""
        dialogue = self._dialogue
        bench = dialogue.bench
        trial, summary = arguments.get("trial"), arguments.get("summary", "")
        if isinstance(trial, bool) or not isinstance(trial, int) or not isinstance(summary, str):
            return "finish needs trial (a whole number) and summary (a text)"
        reason = "" if trial == NO_TRIAL else refusal(bench, trial)
        if reason:
            return reason
        claims = check_claims(
            summary, facts_of(bench.trials(), bench.goal.demands, dialogue.results)
        )
        unknown = [c.text for c in claims if not c.where]
        if unknown and not self._asked:
            self._asked = True
            return f"in no record: {', '.join(unknown)}. State only numbers that a tool has shown"
        dialogue.transcript.add(
            "claims", checked=[{"number": c.text, "record": c.where} for c in claims]
        )
        self.choice = Choice(trial, marked(summary, claims))
        return ""


@dataclass(frozen=True)
class Backing:
    """Who stands behind a model.

    Args:
        expert: takes over when the model fails; None for a model on its own, as in comparisons.
        reserve: encrypted runs kept for it.
        second_opinion: run it after a model that succeeded too, and take the better result.
    """

    expert: Controller | None = None
    reserve: int = 0
    second_opinion: bool = True


def pursue(
    name: str,
    dialogue: Dialogue,
    backing: Backing,
    say: Callable[[str], None],
    converse: Callable[[Dialogue], Choice],
) -> SessionResult:
    """Run ``converse`` to its end, whatever that is, and turn it into a result.

    A result is never worse than the expert's as long as the limits leave the expert room.
    """
    bench, transcript, tools = dialogue.bench, dialogue.transcript, dialogue.tools
    dialogue.tools = Toolbox({n: t for n, t in tools.tools.items() if n != COMMIT})
    transcript.add(
        "start", controller=name, model=dialogue.model.name, goal=bench.goal,
        rungs=list(bench.rungs), tools=list(dialogue.tools.tools),
    )  # fmt: skip
    before = {t.number for t in bench.trials()}
    ending, reason, chosen = _converse(dialogue, converse)
    if chosen is None:
        own = [t for t in bench.trials() if t.number not in before]
        chosen = best_of(bench, own)
        if chosen is not None:
            reason += f"; trial {chosen.number} is the best it had confirmed"
    result = SessionResult(ending, chosen, bench.spent, transcript.clean(reason))
    if ending != "reached" or backing.second_opinion:
        result = _backed(result, tools, bench, backing, say)
    if result.chosen is not None and COMMIT in tools.tools:
        tools.call(COMMIT, {"trial": result.chosen.number})
    transcript.add(
        "end",
        ending=result.ending,
        trial=None if result.chosen is None else result.chosen.number,
        fallback=result.fallback,
        reason=result.reason,
    )
    return result


def _converse(
    dialogue: Dialogue, converse: Callable[[Dialogue], Choice]
) -> tuple[Ending, str, Trial | None]:
    try:
        choice = converse(dialogue)
    except OutOfBudget as limit:
        return "budget", f"the model was stopped: {limit}", None
    except ModelFailure as failure:
        return "stuck", f"the model failed: {failure}", None
    except Lost as lost:
        return "stuck", f"the model's answers were of no use ({lost})", None
    except KeyboardInterrupt:
        dialogue.transcript.add("end", ending="stopped")
        raise
    if choice.trial == NO_TRIAL:
        return "stuck", f"the model gave up: {choice.summary}", None
    trial = next(t for t in dialogue.bench.trials() if t.number == choice.trial)
    return "reached", choice.summary, trial


def _backed(
    result: SessionResult,
    tools: Toolbox,
    bench: Workbench,
    backing: Backing,
    say: Callable[[str], None],
) -> SessionResult:
    """``result``, or the expert's if that is better."""
    expert = backing.expert
    if expert is None:
        return result
    if result.ending == "reached":
        say(f"{expert.name} looks for something better than trial {_number(result.chosen)}")
    else:
        say(f"{result.reason}; {expert.name} takes over")
    try:
        other = expert.run(bench, tools, say)
    except ConfigError as problem:  # it does not know studies of this kind
        note = f"{result.reason}; {expert.name} cannot help: {problem.message}"
        return dataclasses.replace(result, reason=note)
    both = [t for t in (result.chosen, other.chosen) if t is not None]
    best = best_of(bench, both)
    if best is None:
        reason = f"{result.reason}; {expert.name}: {other.reason}"
        return dataclasses.replace(other, reason=reason, fallback=True)
    if result.chosen is not None and best.number == result.chosen.number:
        note = f"{result.reason}; {expert.name} found nothing better"
        ending = result.ending if result.ending == "reached" else other.ending
        return dataclasses.replace(result, ending=ending, reason=note, spent=bench.spent)
    verb = "found better" if result.ending == "reached" else "took over"
    reason = f"{result.reason}; {expert.name} {verb}: {other.reason}"
    return SessionResult("reached", best, bench.spent, reason, fallback=True)


def _number(trial: Trial | None) -> str:
    return "none" if trial is None else str(trial.number)
