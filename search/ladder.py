"""The ladder: rungs of rising effort, gates between them, and the one function a worker runs."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import random
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from search.api.candidate import Candidate, to_plain
from search.api.errors import EvaluationError, InfeasibleCandidate, SearchError
from search.api.metric import Constraint, Fidelity, Measurement, Metric
from search.api.protocols import Evaluator, Method, ProgressHook, Space
from search.api.trial import Job, Outcome, OutcomeStatus, RungResult


@dataclass(frozen=True)
class LadderRung:
    """One step: a fidelity, what measures at it, and the bounds that end a trial here."""

    fidelity: Fidelity
    evaluators: tuple[Evaluator[Any], ...]
    gates: tuple[Constraint, ...] = ()


@dataclass
class TrialContext:
    """The :class:`~search.api.protocols.Context` of one running trial."""

    seed: int
    workdir: Path
    device: str
    hook: ProgressHook
    stop: Callable[[], bool]
    notes: dict[str, Any] = field(default_factory=dict)

    def report(self, step: int, **values: float) -> None:
        """Send progress to the driver."""
        self.hook("step", {"step": step, **values})

    def note(self, name: str, value: object) -> None:
        """Keep a fact with the outcome."""
        self.notes[name] = to_plain(value)

    def should_stop(self) -> bool:
        """Whether the driver asked the trial to stop."""
        return self.stop()


@contextlib.contextmanager
def temporary_context(
    seed: int,
    device: str,
    hook: ProgressHook = lambda kind, data: None,
    stop: Callable[[], bool] = lambda: False,
) -> Iterator[TrialContext]:
    """The context of work outside a trial; its folder is gone at the end."""
    with tempfile.TemporaryDirectory(prefix="cipher-search-") as folder:
        yield TrialContext(seed, Path(folder), device, hook, stop)


class Interrupted(SearchError):
    """The study was stopped while the trial ran; its partial result does not count."""


class Ladder:
    """Climbs rungs for jobs. One instance serves all jobs of a worker process.

    Args:
        space: what is chosen.
        method: how a point becomes a candidate.
        rungs: lowest first.
        constraints: the study's measured constraints.
        device: ``cpu`` or ``cuda[:i]``.
    """

    def __init__(
        self,
        *,
        space: Space[Any],
        method: Method[Any],
        rungs: Sequence[LadderRung],
        constraints: Sequence[Constraint] = (),
        device: str = "cpu",
    ) -> None:
        self.space, self.method, self.device = space, method, device
        self.rungs, self.constraints = tuple(rungs), tuple(constraints)
        # Measurements that depend on the payload alone, by (evaluator, candidate digest).
        self._cache: dict[tuple[int, str], tuple[Measurement, ...]] = {}

    @property
    def metrics(self) -> dict[str, Metric]:
        """Every metric any rung measures, by name."""
        return {m.name: m for r in self.rungs for e in r.evaluators for m in e.metrics}

    def execute(
        self, job: Job, hook: ProgressHook, stop: Callable[[], bool], workdir: Path
    ) -> Outcome:
        """Climb for ``job``. Never raises but for interrupts; see :class:`Outcome` for statuses."""
        started = time.perf_counter()
        ctx = TrialContext(job.seed, workdir, self.device, hook, stop)
        climb = _Climb()
        status: OutcomeStatus = "complete"
        error = ""
        _seed_everything(job.seed)
        try:
            status = self._climb(job, ctx, climb)
        except InfeasibleCandidate as problem:
            status, error = "infeasible", str(problem)
            climb.excess.update({v.rule: v.excess for v in problem.violations})
        except Interrupted as problem:
            status, error = "crashed", str(problem)
        except SearchError as problem:
            status, error = "failed", str(problem)
        except Exception as problem:  # noqa: BLE001  # a plugin may raise anything; its trial fails
            status = "failed"
            error = f"{type(problem).__name__}: {problem}\n{traceback.format_exc()}"
        candidate = climb.candidate
        return Outcome(
            number=job.number,
            status=status,
            rungs=tuple(climb.results),
            excess=climb.excess,
            candidate=describe(candidate, workdir) if candidate is not None else None,
            artefacts=_files(workdir),
            notes=ctx.notes,
            error=error,
            seconds=time.perf_counter() - started,
        )

    def _climb(self, job: Job, ctx: TrialContext, climb: _Climb) -> OutcomeStatus:
        measured: dict[str, Measurement] = {}
        for rung in self.rungs:
            began = time.perf_counter()
            ctx.hook("rung", {"rung": rung.fidelity.name})
            climb.candidate = self.method.produce(
                self.space, job.point, rung.fidelity, ctx, climb.candidate
            )
            _raise_if_stopped(ctx)
            found: list[Measurement] = []
            for evaluator in rung.evaluators:
                found += self._measure(evaluator, climb.candidate, rung.fidelity, ctx)
                _raise_if_stopped(ctx)
            seconds = time.perf_counter() - began
            climb.results.append(RungResult(rung.fidelity.name, seconds, tuple(found)))
            measured.update({m.metric: m for m in found if m.split != "test"})
            ctx.hook("rung_done", {"rung": rung.fidelity.name, "seconds": seconds})
            climb.excess.update(_excess(self.constraints, measured))
            broken = {k: v for k, v in _excess(rung.gates, measured).items() if v > 0}
            if broken:
                climb.excess.update(broken)
                return "gated"
            if job.up_to == rung.fidelity.name and rung is not self.rungs[-1]:
                return "gated"
        return "complete"

    def _measure(
        self,
        evaluator: Evaluator[Any],
        candidate: Candidate[Any],
        fidelity: Fidelity,
        ctx: TrialContext,
    ) -> Sequence[Measurement]:
        key = (id(evaluator), candidate.digest)
        if key in self._cache:
            return [dataclasses.replace(m, fidelity=fidelity.name) for m in self._cache[key]]
        found = tuple(evaluator.evaluate(candidate, fidelity, ctx))
        _check_measurements(evaluator, found)
        if not evaluator.needs:
            self._cache[key] = found
        return found


@dataclass
class _Climb:
    """What a climb has given so far; kept outside the loop so that an error loses nothing."""

    candidate: Candidate[Any] | None = None
    results: list[RungResult] = field(default_factory=list)
    excess: dict[str, float] = field(default_factory=dict)


def describe(candidate: Candidate[Any], workdir: Path | None = None) -> dict[str, Any]:
    """A candidate as plain data; weights by file name within the trial's artefacts."""
    weights = candidate.weights
    return {
        "kind": candidate.kind,
        "digest": candidate.digest,
        "payload": to_plain(candidate.payload),
        "weights": _relative(weights, workdir) if weights is not None else None,
        "members": [describe(m, workdir) for m in candidate.members],
        "parent": candidate.parent,
    }


def _relative(path: Path, base: Path | None) -> str:
    return (
        str(path.relative_to(base)) if base is not None and path.is_relative_to(base) else path.name
    )


def _files(workdir: Path) -> dict[str, Path]:
    return {str(f.relative_to(workdir)): f for f in sorted(workdir.rglob("*")) if f.is_file()}


def _excess(
    constraints: Sequence[Constraint], measured: Mapping[str, Measurement]
) -> dict[str, float]:
    return {
        str(c): c.excess(measured[c.metric].value, measured[c.metric].unit)
        for c in constraints
        if c.metric in measured
    }


def _raise_if_stopped(ctx: TrialContext) -> None:
    if ctx.should_stop():
        raise Interrupted("stopped before it was done")


def _check_measurements(evaluator: Evaluator[Any], found: Sequence[Measurement]) -> None:
    """An evaluator must return just the metrics it declares, finite and in their units."""
    declared = {m.name: m for m in evaluator.metrics}
    name = type(evaluator).__name__
    for m in found:
        if m.metric not in declared:
            raise EvaluationError(f"{name} returned {m.metric!r}, which it does not declare")
        if m.unit != declared[m.metric].unit:
            raise EvaluationError(
                f"{name} returned {m.metric} in {m.unit!r} (expected {declared[m.metric].unit!r})"
            )
        if not math.isfinite(m.value):
            raise EvaluationError(f"{name}: {m.metric} is {m.value} (expected a finite number)")
    missing = declared.keys() - {m.metric for m in found}
    if missing:
        raise EvaluationError(f"{name} did not return {', '.join(sorted(missing))}")


def _seed_everything(seed: int) -> None:
    """Seed the global generators too: a user's network or evaluator may use them."""
    random.seed(seed)
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(seed % 2**32)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(seed)
