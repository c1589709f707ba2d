"""Run directories for reading: the study in one, and the baselines beside it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from search.api.snapshot import Snapshot
from search.api.trial import Trial
from search.pareto import non_dominated


def read_family(run: Path, storage: str | None = None) -> list[Snapshot]:
    """The study in ``run``, then its baselines that were begun; takes no lock.

    Raises:
        StoreError: no run directory, or nothing stored yet.
    """
    from search.study import Study

    folders = sorted(p.parent for p in (run / "baselines").glob("*/run.json"))
    return [Study.read(run, storage), *(Study.read(folder, storage) for folder in folders)]


def front(snapshot: Snapshot) -> list[Trial]:
    """Feasible trials that no other beats in every objective, by the first objective."""
    feasible = [t for t in snapshot.trials if t.feasible and t.values is not None]
    values = [t.values for t in feasible if t.values is not None]
    goals = [m.goal for m in snapshot.objectives]
    kept = [feasible[i] for i in non_dominated(values, goals)] if values else []
    return sorted(kept, key=lambda t: t.values or ())


def done(trials: Sequence[Trial]) -> int:
    """Trials that count against the budget: ended, and neither repeated nor to be."""
    repeated = {t.origin.parent for t in trials if t.origin.kind == "retry"}
    return sum(t.status != "running" and t.number not in repeated and not _waits(t) for t in trials)


def _waits(trial: Trial) -> bool:
    """Whether a trial was ended by an interruption and will be repeated on resume."""
    return (
        trial.status == "crashed"
        and trial.outcome is not None
        and bool(trial.outcome.notes.get("interrupted"))
    )
