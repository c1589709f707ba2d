"""A workbench with a person beside it: dear runs need a yes."""

from __future__ import annotations

import time
from collections.abc import Callable

from agents.api import Goal, Limits, ToolError
from agents.workbench import StudyBench
from search.api.domain import Point, point_digest
from search.api.trial import Trial
from search.study import Study

Approve = Callable[[Point, str], str]
"""Point and rung -> ``yes``, ``all`` (this and all further ones) or ``no`` (none any more)."""


class ChatBench(StudyBench):
    """Asks before a run that encrypts the whole network; what is in the history costs nothing.

    Args:
        study: where every evaluation becomes a trial.
        goal: what is wanted.
        limits: hard budgets.
        approve: asks the person.
    """

    def __init__(self, study: Study, goal: Goal, limits: Limits, approve: Approve) -> None:
        self._waited = 0.0
        super().__init__(study, goal, limits, by="chat", clock=self._working_time)
        self._approve = approve
        self._answer_for_all = ""

    def evaluate(self, point: Point, up_to: str, reason: str) -> Trial:
        """As the workbench does, after a yes if it is dear.

        Raises:
            ToolError: refused by the person, the rules or a limit.
        """
        if up_to in self.rungs and self._is_dear(point, up_to):
            self._ask(self.point(point), up_to)
        return super().evaluate(point, up_to, reason)

    def _working_time(self) -> float:
        """A clock that stands while a person thinks: the limit is on what is run."""
        return time.monotonic() - self._waited

    def _is_dear(self, point: Point, up_to: str) -> bool:
        climbed = self.rungs[: self.rungs.index(up_to) + 1]
        if not self.dear_rungs.intersection(climbed):
            return False
        legal = self.point(point)
        if self.check(legal) or self.spent.encrypted_runs >= self.limits.encrypted_runs:
            return False  # refused anyway, with a reason
        digest = point_digest(legal)
        known = [t for t in self.trials() if point_digest(t.point) == digest]
        return not any(t.outcome and up_to in [r.rung for r in t.outcome.rungs] for t in known)

    def _ask(self, point: Point, up_to: str) -> None:
        began = time.monotonic()
        answer = self._answer_for_all or self._approve(point, up_to)
        self._waited += time.monotonic() - began
        if answer in ("all", "no"):
            self._answer_for_all = answer
        if answer == "no":
            raise ToolError(f"the person declined runs at {up_to!r}; rungs below it are still free")
