"""What a progress display shows: counts, front, best values, running trials, time left."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from search.api.metric import Metric
from search.api.trial import Trial
from search.cli.family import done
from search.cli.text import number

PREPARING = -1
"""Number under which events of work shared by all trials (training the teacher) arrive."""


@dataclass
class Activity:
    """What a running trial is doing."""

    number: int
    began: float
    rung: str = ""
    step: int | None = None
    values: dict[str, float] = field(default_factory=dict)
    point: str = ""


@dataclass
class Tally:
    """Counts of one arm, kept up to date by a watcher.

    Args:
        objectives: in the order of ``Trial.values``.
        total: trials in all.
        arm: ``main`` or the name of a baseline.
    """

    objectives: Sequence[Metric]
    total: int
    arm: str = "main"
    done: int = 0
    status: Counter[str] = field(default_factory=Counter)
    front: list[Trial] = field(default_factory=list)
    best: dict[str, Trial] = field(default_factory=dict)
    running: dict[int, Activity] = field(default_factory=dict)
    began: float = field(default_factory=time.monotonic)
    _first: float | None = None
    _here: int = 0

    def take(self, trials: Sequence[Trial]) -> None:
        """Count the trials of earlier sessions."""
        for trial in trials:
            if trial.status != "running":
                self._count(trial)
        self.done = done(trials)

    def start(self, trial: Trial, point: str) -> None:
        """A trial began."""
        now = time.monotonic()
        self._first = now if self._first is None else self._first
        self.running.pop(PREPARING, None)
        self.running[trial.number] = Activity(trial.number, now, point=point)

    def event(self, number: int, kind: str, data: Mapping[str, Any]) -> Activity:
        """A running trial, or the preparation, moved on."""
        activity = self.running.setdefault(number, Activity(number, time.monotonic()))
        if kind == "rung":
            activity.rung, activity.step, activity.values = str(data.get("rung", "")), None, {}
        elif kind == "step":
            step = data.get("step")
            activity.step = int(step) if isinstance(step, (int, float)) else None
            activity.values = {
                k: float(v) for k, v in data.items() if k != "step" and isinstance(v, (int, float))
            }
        return activity

    def finish(self, trial: Trial) -> None:
        """A trial was stored."""
        self.running.pop(trial.number, None)
        self._count(trial)
        self._here += 1
        if trial.status != "crashed":  # a crashed one is tried again
            self.done += 1

    @property
    def elapsed(self) -> float:
        """Seconds since this session began."""
        return time.monotonic() - self.began

    @property
    def left(self) -> float | None:
        """Estimated seconds left, from the pace of this session; None before the first trial."""
        if self._first is None or not self._here:
            return None
        pace = (time.monotonic() - self._first) / self._here
        return pace * max(0, self.total - self.done)

    def best_text(self) -> str:
        """The best value of each objective with unit and trial."""
        parts = []
        for i, metric in enumerate(self.objectives):
            trial = self.best.get(metric.name)
            if trial is not None and trial.values is not None:
                value = number(trial.values[i], metric.unit)
                parts.append(f"{metric.name} {value} (#{trial.number})")
        return ", ".join(parts)

    def status_text(self) -> str:
        """How many trials ended how."""
        return ", ".join(f"{n} {status}" for status, n in sorted(self.status.items()))

    def _count(self, trial: Trial) -> None:
        self.status[trial.status] += 1
        if not trial.feasible or trial.values is None:
            return
        signs = [1.0 if m.goal == "max" else -1.0 for m in self.objectives]
        for i, metric in enumerate(self.objectives):
            held = self.best.get(metric.name)
            if held is None or signs[i] * (trial.values[i] - (held.values or ())[i]) > 0:
                self.best[metric.name] = trial
        mine = [s * v for s, v in zip(signs, trial.values, strict=True)]
        theirs = [[s * v for s, v in zip(signs, t.values or (), strict=True)] for t in self.front]
        if not any(_beats(other, mine) for other in theirs):
            kept = [t for t, v in zip(self.front, theirs, strict=True) if not _beats(mine, v)]
            self.front = [*kept, trial]


def _beats(a: Sequence[float], b: Sequence[float]) -> bool:
    """Whether ``a`` is nowhere worse and somewhere better (larger is better)."""
    return all(x >= y for x, y in zip(a, b, strict=True)) and any(
        x > y for x, y in zip(a, b, strict=True)
    )
