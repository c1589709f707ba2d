"""Jobs, outcomes and trial records: what crosses between study, runner, worker and store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from search.api.domain import Point
from search.api.metric import Measurement

OutcomeStatus = Literal["complete", "gated", "infeasible", "failed", "crashed"]
TrialStatus = Literal["running", "complete", "gated", "infeasible", "failed", "crashed"]


@dataclass(frozen=True)
class Job:
    """Work for a worker. Plain data that crosses processes and hosts.

    Args:
        number: trial number, unique within the study.
        point: value of every active outer parameter.
        seed: seed of all randomness in the trial; a function of study seed and number only.
        up_to: name of the last rung to climb; None for the whole ladder.
        timeout_s: seconds after which the runner stops the worker; None for no limit.
    """

    number: int
    point: Point
    seed: int
    up_to: str | None = None
    timeout_s: float | None = None


@dataclass(frozen=True)
class RungResult:
    """What one rung of one trial gave."""

    rung: str
    seconds: float
    measurements: tuple[Measurement, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """What a worker says about a job. Plain data.

    Args:
        number: the job's trial number.
        status: ``complete``: all rungs climbed. ``gated``: a gate stopped it early.
            ``infeasible``: the point could not be built. ``failed``: an evaluator or a method
            raised. ``crashed``: the worker died or was stopped by a limit.
        rungs: results of the rungs climbed, lowest first.
        excess: name of a constraint or broken rule -> excess (> 0 means violated).
        candidate: the candidate as plain data (``kind``, ``digest``, ``payload``, ...), or None.
        artefacts: name -> file; the runner makes the paths valid on the driver.
        notes: short facts for the report (epochs used, temperature, ...); JSON-safe.
        error: message, with traceback for unexpected errors; empty if none.
        seconds: wall-clock seconds the worker spent.
        worker: where it ran, for people (process id, Ray node).
    """

    number: int
    status: OutcomeStatus
    rungs: tuple[RungResult, ...] = ()
    excess: Mapping[str, float] = field(default_factory=dict)
    candidate: Mapping[str, Any] | None = None
    artefacts: Mapping[str, Path] = field(default_factory=dict)
    notes: Mapping[str, Any] = field(default_factory=dict)
    error: str = ""
    seconds: float = 0.0
    worker: str = ""

    @property
    def measurements(self) -> tuple[Measurement, ...]:
        """All measurements, lowest rung first."""
        return tuple(m for rung in self.rungs for m in rung.measurements)


@dataclass(frozen=True)
class Origin:
    """Where a point came from.

    Args:
        kind: ``sampler``, ``user``, ``advisor``, ``retry`` or ``baseline``.
        by: name of the searcher, advisor or person.
        reason: one line, if there is one.
        parent: number of the trial it repeats or repairs.
    """

    kind: Literal["sampler", "user", "advisor", "retry", "baseline"]
    by: str = ""
    reason: str = ""
    parent: int | None = None


@dataclass(frozen=True)
class Trial:
    """A trial as the store holds it: the job, where it came from, and its outcome.

    Args:
        number: unique within the study, counted from 0.
        point: value of every active outer parameter.
        seed: seed the trial ran with.
        origin: who proposed it.
        status: ``running`` until told.
        values: one number per objective, in the study's order and units; None unless the top
            rung was reached.
        outcome: None while running.
        started, finished: seconds since the epoch.
        artefacts: name -> file in the run directory.
        memory: what the searcher wants to see again after a restart; JSON-safe.
    """

    number: int
    point: Point
    seed: int
    origin: Origin
    status: TrialStatus
    values: tuple[float, ...] | None = None
    outcome: Outcome | None = None
    started: float | None = None
    finished: float | None = None
    artefacts: Mapping[str, Path] = field(default_factory=dict)
    memory: Mapping[str, Any] = field(default_factory=dict)

    @property
    def feasible(self) -> bool:
        """Complete, and no measured constraint violated."""
        return (
            self.status == "complete"
            and self.outcome is not None
            and all(excess <= 0 for excess in self.outcome.excess.values())
        )

    def measurement(self, metric: str) -> Measurement | None:
        """The last (highest-fidelity) measurement of ``metric`` that is not on the test split."""
        found = None
        for m in self.outcome.measurements if self.outcome else ():
            if m.metric == metric and m.split != "test":
                found = m
        return found
