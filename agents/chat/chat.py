"""The chat itself: one line of a person in, lines of the agent out; no terminal is needed."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from agents.api import Controller, Goal, Limits, SessionResult, Spent, Toolbox
from agents.chat import tables
from agents.chat.bench import ChatBench
from agents.chat.record import Record, State
from agents.chat.words import NO_MODEL, approval
from agents.goals import describe, study_goal
from agents.llm.model import ChatModel
from agents.phases import MEANING, ORDER
from agents.workbench import StudyBench
from search.api.domain import Point
from search.api.trial import Trial
from search.study import Study


@dataclass(frozen=True)
class Parts:
    """Who does the work in a chat.

    Args:
        controller: makes the one that pursues goals; a new one for every run.
        tools: makes the tools of a bench.
        model: answers free questions; None without one.
    """

    controller: Callable[[], Controller]
    tools: Callable[[StudyBench], Toolbox]
    model: ChatModel | None = None


class Chat:
    """A conversation about one study.

    Args:
        study: the study; every run is a trial of it.
        parts: who does the work.
        say: shows a line to the person.
        ask: asks the person a question; the answer as typed.
        limits: budgets of the whole chat.

    Raises:
        StoreError: the record of an earlier chat cannot be read.
    """

    def __init__(
        self,
        study: Study,
        parts: Parts,
        *,
        say: Callable[[str], None],
        ask: Callable[[str], str],
        limits: Limits | None = None,
    ) -> None:
        self.study, self.parts = study, parts
        self._say, self._ask = say, ask
        self.record = Record(study.path, parts.model.secrets if parts.model else ())
        self.spent = Spent()
        self.states = self.record.states() or [State(_own_goal(study), None, limits or Limits())]
        if limits is not None:
            self.states[-1] = dataclasses.replace(self.states[-1], limits=limits)

    @property
    def state(self) -> State:
        """Goal, choice and budget now."""
        return self.states[-1]

    def greet(self) -> None:
        """Say where we are and what can be said."""
        study, trials, earlier = self.study, self.study.trials(), len(self.record.lines())
        self.say(f"Study {study.name}, {len(trials)} trials, in {study.path}.")
        self.say(f"Goal: {self.goal_text()}.")
        if self.parts.model is None:
            self.say(NO_MODEL)
        else:
            self.say(f"Model: {self.parts.model.name}; the expert stands behind it.")
        if earlier:
            self.say(f"We have talked before ({earlier} lines); going on.")
        self.say('Say what you want, such as "under 2 s at 20 bits", or /help.')

    def say(self, text: str) -> None:
        """Show a line and keep it."""
        self.record.said("agent", text)
        self._say(text)

    def goal_text(self) -> str:
        """The goal in one line."""
        return describe(self.state.goal, self.study.components.metrics())

    def change(self, **changes: object) -> None:
        """Another goal, choice or budget; ``/undo`` goes back."""
        self.states.append(dataclasses.replace(self.state, **changes))  # type: ignore[arg-type]
        self.record.changed(self.state)

    @contextmanager
    def bench(self) -> Iterator[ChatBench]:
        """A bench with what is left of the budgets; what it spends is counted."""
        limits = tables.left(self.state.limits, self.spent)
        bench = ChatBench(self.study, self.state.goal, limits, self.approve)
        try:
            yield bench
        finally:
            self.spent = tables.added(self.spent, bench.spent)

    def approve(self, point: Point, up_to: str) -> str:
        """Ask for one dear run."""
        left = self.state.limits.encrypted_runs - self.spent.encrypted_runs
        seconds = typical_seconds(self.study.trials(), up_to)
        cost = f"about {seconds:.1f} s by earlier ones" if seconds else "its time is not known yet"
        question = (
            f"Run {tables.point_line(point)} up to {up_to!r}? It makes keys and encrypts; {cost}; "
            f"{left} left in the budget. [y]es, [a]ll of this run, [n]o: "
        )
        self.record.said("agent", question)
        while True:
            answer = self._ask(question)
            self.record.said("person", answer)
            found = approval(answer)
            if found is not None:
                return found
            question = "Please answer y, a or n: "

    def plan(self) -> None:
        """Say what a run towards the goal would do."""
        with self.bench() as bench:
            dear = ", ".join(sorted(bench.dear_rungs)) or "none"
            left = bench.limits.encrypted_runs
        self.say(f"Plan for: {self.goal_text()}")
        for number, phase in enumerate(ORDER, 1):
            self.say(f"  {number}. {phase}: {MEANING[phase]}")
        self.say(
            f"Rungs: {' < '.join(bench.rungs)}. Dear: {dear}; at most {left} such runs, each only "
            "after your yes."
        )

    def pursue(self) -> None:
        """Run the controller towards the goal; Ctrl-C ends the run and not the chat."""
        controller = self.parts.controller()
        with self.bench() as bench:
            try:
                with bench.opened():
                    result = controller.run(bench, self.parts.tools(bench), self.say)
            except KeyboardInterrupt:
                self.say("Stopped. What was finished is kept; /run goes on.")
                return
            self._conclude(result, bench)

    def _conclude(self, result: SessionResult, bench: ChatBench) -> None:
        self.say(f"{_ENDINGS[result.ending]}: {result.reason}")
        if result.fallback:
            self.say("The result is the expert's, which replaced the model.")
        if result.chosen is not None:
            self.change(chosen=result.chosen.number)
            self.say(tables.trial_line(bench, result.chosen))
            self.say("/why explains it, /export writes it, /try changes a knob.")

    def chosen(self) -> Trial | None:
        """The trial that was taken."""
        number = self.state.chosen
        trials = self.study.trials()
        return trials[number] if number is not None and number < len(trials) else None


_ENDINGS = {
    "reached": "Goal reached",
    "stuck": "Stuck",
    "budget": "A budget is spent",
    "stopped": "Stopped",
    "infeasible": "Not feasible",
}


def typical_seconds(trials: tuple[Trial, ...], rung: str) -> float | None:
    """Mean seconds that trials took which climbed up to ``rung``; None without any."""
    found = [
        sum(r.seconds for r in t.outcome.rungs)
        for t in trials
        if t.outcome is not None and any(r.rung == rung for r in t.outcome.rungs)
    ]
    return sum(found) / len(found) if found else None


def _own_goal(study: Study) -> Goal:
    """The goal that the configuration implies."""
    constraints = [str(c) for c in study.components.ladder.constraints]
    return study_goal(study.components.objectives, constraints, study.components.metrics())
