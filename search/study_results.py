"""What a study has found so far: trials, fronts, tables, reports, artefacts. Nothing runs here."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from search.api.metric import Metric
from search.api.snapshot import Snapshot
from search.api.trial import Trial
from search.assemble import Components
from search.config import StudySpec
from search.results import best, front
from search.store import Store


class StudyResults(ABC):
    """The reading side of a study."""

    path: Path
    spec: StudySpec
    objectives: Sequence[Metric]
    components: Components

    @abstractmethod
    def snapshot(self) -> Snapshot:
        """The stored study frozen for reading."""

    @staticmethod
    def read(run: str | Path, storage: str | None = None) -> Snapshot:
        """The stored study frozen for reading; loads no plugin and takes no lock.

        Raises:
            StoreError: no run directory, or nothing stored yet.
        """
        with contextlib.closing(Store.read(Path(run), storage)) as store:
            return store.snapshot()

    def trials(self) -> tuple[Trial, ...]:
        """All stored trials in order of number; empty before the first."""
        if not (self.path / "run.json").exists():
            return ()
        return self.snapshot().trials

    def pareto(self) -> list[Trial]:
        """Feasible complete trials that no other one beats in every objective."""
        return front(self.trials(), self.objectives)

    def best(self, objective: str | None = None) -> Trial | None:
        """The feasible trial with the best value of one objective (default: the first)."""
        return best(self.trials(), self.objectives, objective)

    def dataframe(self) -> Any:
        """All trials as a pandas frame: one row a trial, one column a parameter or metric.

        Raises:
            MissingExtra: pandas is not installed.
        """
        from search.frame import trials_frame

        return trials_frame(self.snapshot())

    def report(self, directory: str | Path | None = None) -> Mapping[str, Path]:
        """Write the report of this study and of the baselines that were run."""
        from search.report import write_report

        folders = [self.path / "baselines" / name for name in self.spec.baselines]
        others = [self.read(folder) for folder in folders if (folder / "run.json").exists()]
        target = Path(directory) if directory else self.path / "report"
        files: Mapping[str, Path] = write_report([self.snapshot(), *others], target)
        return files

    def export(self, number: int, directory: str | Path) -> Mapping[str, Path]:
        """Write trial ``number`` as an artefact to deploy; see :mod:`search.export`."""
        from search.export import export_trial

        parts = self.components
        return export_trial(self.snapshot(), number, directory, parts.workload)
