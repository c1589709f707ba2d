"""The driver: pulls points, hands out jobs, and is the only writer of the store.

It is the :class:`~search.api.protocols.JobSource` of every runner. Budgets are counted here, over
all sessions of a study; retries of crashed trials are queued here; what a dead driver left is
taken up here.
"""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from search.api.domain import Param, Point
from search.api.errors import StoreError, TooManyFailures
from search.api.metric import Metric
from search.api.searching import Searcher
from search.api.trial import Job, Origin, Outcome, Trial
from search.config import Budget
from search.proposals import Proposals, Queued
from search.store import Store


class Watcher(Protocol):
    """Sees a study at work: progress displays, loggers. Never changes it."""

    def trial_started(self, trial: Trial) -> None:
        """A trial was created."""
        ...

    def trial_event(self, number: int, kind: str, data: Mapping[str, Any]) -> None:
        """Progress of a running trial: ``rung``, ``rung_done``, ``step``."""
        ...

    def trial_finished(self, trial: Trial) -> None:
        """A trial was stored."""
        ...

    def message(self, text: str) -> None:
        """Something a person should know."""
        ...


class Silent:
    """A :class:`Watcher` that says nothing."""

    def trial_started(self, trial: Trial) -> None:
        """Nothing."""

    def trial_event(self, number: int, kind: str, data: Mapping[str, Any]) -> None:
        """Nothing."""

    def trial_finished(self, trial: Trial) -> None:
        """Nothing."""

    def message(self, text: str) -> None:
        """Nothing."""


@dataclass
class Driver:
    """Runs one session of a study.

    Args:
        store: open for writing.
        params: outer parameters.
        proposals: where points come from.
        searcher: is told of every start and finish.
        objectives: metrics, in order.
        budget: limits of the whole study.
        seed: seed of the study.
        max_failures: failed trials in a row that stop the study.
        max_retries: how often a point whose worker died is tried again.
        watcher: sees everything.
        callbacks: called with each stored trial.
    """

    store: Store
    params: Sequence[Param]
    proposals: Proposals
    searcher: Searcher
    objectives: Sequence[Metric]
    budget: Budget
    seed: int
    max_failures: int = 3
    max_retries: int = 1
    watcher: Watcher = field(default_factory=Silent)
    callbacks: Sequence[Callable[[Trial], None]] = ()
    stop_reason: str = ""
    interrupted: bool = False
    fatal: Exception | None = None
    exhausted: bool = False
    end_reason: str = ""
    _running: dict[int, Trial] = field(default_factory=dict)
    _finished: dict[int, Trial] = field(default_factory=dict)
    _superseded: set[int] = field(default_factory=set)
    _failures: int = 0
    _worker_seconds: float = 0.0
    _past_seconds: float = 0.0
    _began: float = field(default_factory=time.monotonic)
    _metrics: dict[str, float] = field(default_factory=dict)
    _counts: Counter[str] = field(default_factory=Counter)

    def take_over(self) -> None:
        """Load the stored trials; end those a dead driver left, and queue their points again."""
        self._past_seconds = self.store.seconds
        for trial, outcome in self.store.unfinished():
            lost = outcome or Outcome(
                trial.number,
                "crashed",
                error="the driver ended before the trial did",
                notes={"interrupted": True},
            )
            self.store.finish(lost, self._values(lost), {})
        trials = self.store.trials()
        self._finished = {t.number: t for t in trials}
        repeated = {t.origin.parent for t in trials if t.origin.kind == "retry"}
        self.proposals.remember(t.point for t in trials)
        self.searcher.replay(trials)
        for trial in trials:
            self._update_metrics(trial)
            self._worker_seconds += trial.outcome.seconds if trial.outcome else 0.0
            if trial.number in repeated:
                self._superseded.add(trial.number)
            else:
                self._queue_again(trial)

    @property
    def done(self) -> int:
        """Trials that count against the budget: finished, and neither repeated nor to be."""
        return len(self._finished) - len(self._superseded)

    @property
    def running(self) -> Mapping[int, Trial]:
        """Trials in flight."""
        return self._running

    @property
    def seconds(self) -> float:
        """Wall-clock seconds of all sessions so far."""
        return self._past_seconds + time.monotonic() - self._began

    def limit(self, trials: int | None, timeout_s: float | None) -> None:
        """Change the budget for this session: trials in all, and seconds from now."""
        update: dict[str, Any] = {}
        if trials is not None:
            update["trials"] = trials
        if timeout_s is not None:
            known = self.budget.wall_clock
            end = self.seconds + timeout_s
            update["wall_clock"] = end if known is None else min(end, known)
        self.budget = self.budget.model_copy(update=update)

    def next(self) -> Job | None:
        """The next job within budget; None: nothing to do for now."""
        if self.should_stop() or self.exhausted:
            return None
        if self.done + len(self._running) >= self.budget.trials:
            return None
        number = len(self._finished) + len(self._running)
        queued = self.proposals.next(number)
        if queued is None:
            if not self._running:
                self.exhausted = True
                self.end_reason = self._end(number)
                self.watcher.message(self.end_reason)
            return None
        started: Job | None = self._guard(lambda: self._start(queued))
        return started

    def _end(self, number: int) -> str:
        """Why nothing comes next, in words."""
        if self.proposals.leaves_points(number):
            return f"{self.proposals.searcher.name} has nothing further to propose"
        return "the search space is used up: every point it proposes has had its trial"

    def start_point(self, queued: Queued) -> Job:
        """Start a trial of a given point outside the budget; raises where :meth:`next` stops."""
        self.proposals.remember([queued.point])
        return self._start(queued)

    def report(self, outcome: Outcome) -> None:
        """Store an outcome, tell the searcher, and queue the point again if its worker died."""
        if self.fatal is not None or outcome.number not in self._running:
            return
        self._guard(lambda: self._finish(outcome))

    def event(self, number: int, kind: str, data: Mapping[str, Any]) -> None:
        """Pass progress on to the watcher."""
        self.watcher.trial_event(number, kind, data)

    def announce(self, text: str) -> None:
        """Pass on what a runner has to say to people, such as the address of a dashboard."""
        self.watcher.message(text)

    def should_stop(self) -> bool:
        """Whether the session is to end: asked for, out of time, broken, or failing."""
        if self.stop_reason or self.fatal is not None:
            return True
        limit = self.budget.wall_clock
        if limit is not None and self.seconds >= limit:
            self.stop_reason = f"wall-clock budget of {limit:g} s is spent"
        limit = self.budget.worker_time
        if limit is not None and self._worker_seconds >= limit:
            self.stop_reason = f"worker-time budget of {limit:g} s is spent"
        return bool(self.stop_reason)

    def interrupt(self) -> None:
        """Ctrl-C: start nothing new and stop what runs."""
        self.interrupted = True
        self.stop_reason = self.stop_reason or "interrupted"

    def metrics(self) -> Mapping[str, float]:
        """Numbers for monitoring: trials by status and the best value per objective."""
        return self._metrics

    def raise_if_broken(self) -> None:
        """Raise what ended the session early, if it was an error."""
        if self.fatal is not None:
            raise self.fatal
        if self._failures >= self.max_failures:
            last = max(self._finished)
            outcome = self._finished[last].outcome
            error = outcome.error.partition("\n")[0] if outcome else ""
            raise TooManyFailures(
                f"{self._failures} trials in a row failed (study.max_failures), the last (trial "
                f"{last}) with: {error}. Everything finished is kept; `search show` has the details"
            )

    def _start(self, queued: Queued) -> Job:
        number = len(self._finished) + len(self._running)
        seed = queued.seed if queued.seed is not None else trial_seed(self.seed, number)
        stored = self.store.start(self.params, queued.point, seed, queued.origin)
        if stored != number:
            raise StoreError(
                f"{self.store.directory.path}: trial {stored} was created where {number} was due; "
                "somebody else writes to this study"
            )
        trial = Trial(number, queued.point, seed, queued.origin, "running", started=time.time())
        self._running[number] = trial
        self.searcher.start(number, queued.point)
        self.watcher.trial_started(trial)
        return Job(number, queued.point, seed, timeout_s=self.budget.trial_time)

    def _finish(self, outcome: Outcome) -> None:
        stopped = outcome.status == "crashed" and self.should_stop()
        if stopped and not outcome.notes.get("interrupted"):
            outcome = replace(outcome, notes={**outcome.notes, "interrupted": True})
        running = self._running[outcome.number]
        values = self._values(outcome)
        ended = replace(
            running, status=outcome.status, values=values, outcome=outcome, finished=time.time()
        )
        memory = self.searcher.finish(ended)
        trial = self.store.finish(outcome, values, memory)
        del self._running[trial.number]
        self._finished[trial.number] = trial
        self._worker_seconds += outcome.seconds
        self._count_failure(trial)
        self._queue_again(trial)
        self._update_metrics(trial)
        self.watcher.trial_finished(trial)
        for callback in self.callbacks:
            callback(trial)

    def _values(self, outcome: Outcome) -> tuple[float, ...] | None:
        if outcome.status != "complete":
            return None
        last = {m.metric: m.value for m in outcome.measurements if m.split != "test"}
        return tuple(last[metric.name] for metric in self.objectives)

    def _queue_again(self, trial: Trial) -> None:
        """Queue the point of a crashed trial, unless its retries are used up."""
        if trial.status != "crashed":
            return
        interrupted = bool(trial.outcome and trial.outcome.notes.get("interrupted"))
        if not interrupted and self._crashes(trial) > self.max_retries:
            return
        origin = Origin("retry", trial.origin.by, "its worker was lost", trial.number)
        self._superseded.add(trial.number)
        self.proposals.queue.appendleft(Queued(trial.point, origin, trial.seed))

    def _crashes(self, trial: Trial) -> int:
        """How often this point's worker has died, interruptions left out."""
        count = 0
        current: Trial | None = trial
        while current is not None:
            if not (current.outcome and current.outcome.notes.get("interrupted")):
                count += 1
            parent = current.origin.parent if current.origin.kind == "retry" else None
            current = self._finished.get(parent) if parent is not None else None
        return count

    def _count_failure(self, trial: Trial) -> None:
        if trial.status == "failed":
            self._failures += 1
            if self._failures >= self.max_failures:
                self.stop_reason = f"{self._failures} trials in a row failed"
        elif trial.status != "crashed":
            self._failures = 0

    def _update_metrics(self, trial: Trial) -> None:
        self._counts[trial.status] += 1
        self._metrics.update({f"trials_{status}": float(n) for status, n in self._counts.items()})
        for rung in trial.outcome.rungs if trial.outcome else ():
            self._metrics[f"rung_seconds_{rung.rung}"] = rung.seconds
        if trial.values is None or not trial.feasible:
            return
        for metric, value in zip(self.objectives, trial.values, strict=True):
            better = max if metric.goal == "max" else min
            known = self._metrics.get(f"best_{metric.name}", value)
            self._metrics[f"best_{metric.name}"] = better(known, value)
            self._metrics[f"last_{metric.name}"] = value

    def _guard(self, action: Callable[[], Any]) -> Any:
        """A broken store ends the session; nothing more is handed out or written."""
        try:
            return action()
        except StoreError as error:
            self.fatal = error
            self.stop_reason = str(error)
            return None


def trial_seed(seed: int, number: int) -> int:
    """Seed of trial ``number``: a function of the study's seed and the number alone."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{number}".encode()).digest()[:4], "big")


def legal_point_error(params: Sequence[Param], point: Point) -> str:
    """Why ``point`` is no member of the space; empty if it is one."""
    from search.api.domain import active_params

    active = {p.name: p for p in active_params(params, point)}
    for name in point:
        if name not in active:
            return f"unknown or inactive parameter {name!r} (active: {', '.join(active)})"
    for name, param in active.items():
        if name not in point:
            return f"parameter {name!r} is missing (expected {param.domain.describe()})"
        if not param.domain.contains(point[name]):
            return f"{name}: expected {param.domain.describe()} (got {point[name]!r})"
    return ""
