"""A study as controllers see it: recorded trials, a goal, hard limits; nothing else in reach."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from agents.api import Goal, Limits, Spent, ToolError
from agents.goals import Aim, aim_of, aims, checked
from search.api.candidate import Violation
from search.api.domain import Param, Point, canonical, point_digest, point_from_json
from search.api.errors import ConfigError, InfeasibleCandidate, SearchError
from search.api.metric import Metric
from search.api.trial import Origin, Trial
from search.study import Study

if TYPE_CHECKING:
    from agents.tools.forecast import Forecast

DEAR = ("ckks_encrypted", "crypten_2pc", "spu_2pc")
"""Evaluators that really encrypt the whole network: a run of one of them is what budgets count."""


class StudyBench:
    """A :class:`~agents.api.Workbench` over a study.

    Args:
        study: where every evaluation becomes a trial.
        goal: what is wanted; its words are checked.
        limits: hard budgets, counted from now on.
        by: who acts, for the record.
        clock: seconds; another one for tests.

    Attributes:
        cancelled: asked now and then; True ends what runs.
        watch: told of every trial that ran: it, how far it was to climb, and why.

    Raises:
        ConfigError: the goal names no metric of the study.
    """

    def __init__(
        self,
        study: Study,
        goal: Goal,
        limits: Limits | None = None,
        *,
        by: str = "agent",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.study, self.by = study, by
        self._goal = checked(goal, study.components.metrics())
        self._limits = limits or Limits()
        self._spent = Spent()
        self._clock, self._began = clock, clock()
        self._committed: int | None = None
        self._known: dict[str, list[int]] | None = None
        self._trials: list[Trial] = []
        self.cancelled: Callable[[], bool] = lambda: False
        self.watch: Callable[[Trial, str, str], None] = lambda trial, up_to, reason: None

    @property
    def goal(self) -> Goal:
        """What is wanted."""
        return self._goal

    @property
    def limits(self) -> Limits:
        """What may be used."""
        return self._limits

    @property
    def spent(self) -> Spent:
        """What was used so far; seconds up to now."""
        self._spent.seconds = self._clock() - self._began
        return self._spent

    @cached_property
    def rungs(self) -> tuple[str, ...]:
        """Names of the ladder's rungs, lowest first."""
        return tuple(r.fidelity.name for r in self.study.components.ladder.rungs)

    @cached_property
    def dear_rungs(self) -> frozenset[str]:
        """Rungs at which the whole network is encrypted."""
        return frozenset(
            rung.rung
            for rung in self.study.spec.ladder
            if any(evaluator.name in DEAR for evaluator in rung.evaluators)
        )

    @cached_property
    def metrics(self) -> Mapping[str, Metric]:
        """Every metric of the study."""
        return self.study.components.metrics()

    @cached_property
    def aims(self) -> tuple[Aim, ...]:
        """Demands of the goal, then constraints of the study."""
        own = [aim_of(str(c), self.metrics, "constraints")
               for c in self.study.components.ladder.constraints]  # fmt: skip
        found = {str(aim.constraint): aim for aim in (*aims(self.goal, self.metrics), *own)}
        return tuple(found.values())

    @cached_property
    def gates(self) -> tuple[Aim, ...]:
        """Gates of the rungs: what a trial must hold to climb on."""
        rungs = self.study.components.ladder.rungs
        return tuple(aim_of(str(g), self.metrics, "gates") for rung in rungs for g in rung.gates)

    @property
    def params(self) -> tuple[Param, ...]:
        """What is chosen."""
        return self.study.params

    @cached_property
    def forecast(self) -> Forecast | None:
        """What the study's models foretell without a trial; None where nothing can."""
        from agents.tools.forecast import forecast_of

        return forecast_of(self.study)

    def point(self, data: Mapping[str, Any]) -> Point:
        """``data`` as a point of the study.

        Raises:
            ToolError: it has another form, an unknown name, or a value out of its domain.
        """
        try:
            return self.study.blueprint.point(data)
        except ConfigError as error:
            raise ToolError(error.message) from None

    def check(self, point: Point) -> Sequence[Violation]:
        """Known rules that ``point`` breaks."""
        try:
            return self.study.check(point)
        except ConfigError as error:
            return [Violation("domain", error.message, 1.0, "1")]

    def nearest(self, point: Point) -> Point | None:
        """A legal point near an illegal one, if the space knows one."""
        repair = self.study.blueprint.rules.repair
        try:
            found = repair(point) if repair is not None else None
        except (InfeasibleCandidate, SearchError):
            return None
        return found if found is not None and not self.check(found) else None

    def evaluate(self, point: Point, up_to: str, reason: str) -> Trial:
        """Climb the ladder for ``point`` up to a rung, as a recorded trial; equal requests are
        answered from the history.

        Raises:
            ToolError: the point is illegal (with the rule and the nearest legal point), the rung
                unknown, or a limit is reached.
        """
        if up_to not in self.rungs:
            raise ToolError(f"no rung {up_to!r} (known: {', '.join(self.rungs)})")
        legal = self.point(point)
        self._require_legal(legal)
        known = self._answer(legal, self.rungs.index(up_to))
        if known is not None:
            return known
        self._require_budget(up_to)
        trial = self._run(legal, up_to, Origin("advisor", self.by, reason[:500]))
        self._remember(trial)
        self.watch(trial, up_to, reason)
        if any(self._reached(trial, up_to, dear) for dear in self.dear_rungs):
            self._spent.encrypted_runs += 1
        return trial

    def trials(self) -> tuple[Trial, ...]:
        """Every trial of the study."""
        self._load()
        return tuple(self._trials)

    def trial(self, number: int) -> Trial:
        """Trial ``number``.

        Raises:
            ToolError: there is none.
        """
        self._load()
        if not 0 <= number < len(self._trials):
            raise ToolError(f"no trial {number} (there are {len(self._trials)}, counted from 0)")
        return self._trials[number]

    def feasible(self, trial: Trial) -> bool:
        """Whether what was measured so far meets every demand, and no rule or gate is broken."""
        if trial.status not in ("complete", "gated") or trial.outcome is None:
            return False
        if any(value > 0 for value in trial.outcome.excess.values()):
            return False
        return all(excess <= 0 for excess in self.misses(trial).values())

    def confirmed(self, trial: Trial) -> bool:
        """Whether the top rung was reached and every demand is met."""
        return trial.status == "complete" and self.feasible(trial)

    def misses(self, trial: Trial) -> dict[str, float]:
        """Demand -> by how much it is missed (0 or less: met), as far as it was measured."""
        found = {}
        for aim in self.aims:
            measured = trial.measurement(aim.metric.name)
            if measured is not None:
                found[str(aim.constraint)] = aim.excess(measured.value)
        return found

    def value(self, trial: Trial) -> float | None:
        """What the trial measured of the metric that is to be made small or large."""
        measured = trial.measurement(self.goal.minimise)
        return None if measured is None else measured.value

    def best(self) -> Trial | None:
        """The confirmed trial with the best value."""
        sign = 1.0 if self.metrics[self.goal.minimise].goal == "min" else -1.0
        scored = [
            (sign * value, trial.number, trial)
            for trial in self.trials()
            if self.confirmed(trial) and (value := self.value(trial)) is not None
        ]
        return min(scored)[2] if scored else None

    @property
    def committed(self) -> Trial | None:
        """The trial that was chosen as the result."""
        return None if self._committed is None else self.trial(self._committed)

    def commit(self, number: int) -> Trial:
        """Choose a trial as the result.

        Raises:
            ToolError: no such trial, or the top rung has not confirmed that it meets the demands.
        """
        trial = self.trial(number)
        if not self.confirmed(trial):
            raise ToolError(
                f"trial {number} is not confirmed: {self._shortfall(trial)}. Evaluate a point up "
                f"to {self.rungs[-1]!r} that meets every demand, then commit its trial"
            )
        self._committed = number
        return trial

    def spend(
        self, *, turns: int = 0, tool_calls: int = 0, tokens: int = 0, money: float = 0.0
    ) -> None:
        """Count what was used; never refuses: see :meth:`exhausted`."""
        self._spent.turns += turns
        self._spent.tool_calls += tool_calls
        self._spent.tokens += tokens
        self._spent.money += money

    def exhausted(self) -> str | None:
        """The limit that is reached, in words; None while there is some of everything left.

        Encrypted runs are left out: what needs none may go on without.
        """
        spent, limits = self.spent, self.limits
        for name in ("turns", "tool_calls", "tokens", "money", "seconds"):
            if getattr(spent, name) >= getattr(limits, name):
                return f"{name.replace('_', ' ')}: {getattr(limits, name):g} are spent"
        return None

    @contextlib.contextmanager
    def opened(self) -> Iterator[StudyBench]:
        """Hold the study open for many evaluations."""
        with self.study.opened():
            yield self

    def _require_legal(self, point: Point) -> None:
        broken = self.check(point)
        if not broken:
            return
        near = self.nearest(point)
        hint = f". Nearest legal point: {canonical(near)}" if near is not None else ""
        raise ToolError("illegal: " + "; ".join(f"{v.rule}: {v.detail}" for v in broken) + hint)

    def _require_budget(self, up_to: str) -> None:
        spent, limits = self.spent, self.limits
        if spent.seconds >= limits.seconds:
            raise ToolError(f"the limit of {limits.seconds:g} seconds is reached")
        dear = [r for r in self.dear_rungs if self.rungs.index(r) <= self.rungs.index(up_to)]
        if dear and spent.encrypted_runs >= limits.encrypted_runs:
            raise ToolError(
                f"the limit of {limits.encrypted_runs} encrypted runs is reached; rungs below "
                f"{dear[0]!r} are still free"
            )

    def _run(self, point: Point, up_to: str, origin: Origin) -> Trial:
        def stop() -> bool:
            return self.cancelled() or self.spent.seconds >= self.limits.seconds

        try:
            return self.study.evaluate(point, up_to, origin=origin, stop=stop)
        except ConfigError as error:
            raise ToolError(error.message) from None

    def _load(self) -> None:
        if self._known is None:
            self._known = {}
            for trial in self.study.trials():
                self._remember(trial)

    def _remember(self, trial: Trial) -> None:
        self._load()
        if self._known is not None and trial.number == len(self._trials):
            self._trials.append(trial)
            self._known.setdefault(point_digest(trial.point), []).append(trial.number)

    def _answer(self, point: Point, wanted: int) -> Trial | None:
        """A trial of ``point`` that says all that another climb up to that rung would."""
        self._load()
        for number in reversed((self._known or {}).get(point_digest(point), [])):
            trial = self._trials[number]
            if trial.status in ("crashed", "running") or trial.outcome is None:
                continue
            climbed = len([r for r in trial.outcome.rungs if r.rung in self.rungs])
            stopped = trial.status in ("infeasible", "failed") or self._gate_broken(trial)
            if climbed > wanted or stopped:
                return trial
        return None

    def _gate_broken(self, trial: Trial) -> bool:
        gates = {str(g) for r in self.study.components.ladder.rungs for g in r.gates}
        excess = trial.outcome.excess if trial.outcome else {}
        return trial.status == "gated" and any(excess.get(g, 0.0) > 0 for g in gates)

    def _reached(self, trial: Trial, up_to: str, rung: str) -> bool:
        """Whether ``trial``, asked to climb up to ``up_to``, tried ``rung``."""
        index = self.rungs.index(rung)
        if index > self.rungs.index(up_to) or trial.outcome is None:
            return False
        climbed = len([r for r in trial.outcome.rungs if r.rung in self.rungs])
        return climbed > index or (climbed == index and trial.status not in ("gated", "infeasible"))

    def _shortfall(self, trial: Trial) -> str:
        missed = [
            f"{text} is missed by {by:.4g}" for text, by in self.misses(trial).items() if by > 0
        ]
        if missed:
            return "; ".join(missed)
        if trial.status != "complete":
            top = (
                trial.outcome.rungs[-1].rung if trial.outcome and trial.outcome.rungs else "no rung"
            )
            return f"it is {trial.status} and reached {top}"
        return "a rule or constraint is broken"


def plain_point(point: Point) -> dict[str, Any]:
    """``point`` as JSON: tuples become lists."""
    return {name: list(v) if isinstance(v, tuple) else v for name, v in point.items()}


def same_point(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two points in JSON form are equal."""
    return point_digest(point_from_json(one)) == point_digest(point_from_json(other))
