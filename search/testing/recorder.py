"""A context that keeps what it is told: to run methods and evaluators without a study."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class Recorder:
    """A :class:`search.api.protocols.Context` for tests, benchmarks and notebooks.

    Args:
        workdir: folder of the trial.
        seed: of all randomness.
        device: for tensors.
        stop_after: questions whether to stop after which the answer is yes; None: never.
        notes: facts that were noted.
        reports: (step, values) that were told.
        asked: how often it was asked whether to stop.
    """

    workdir: Path
    seed: int = 0
    device: str = "cpu"
    stop_after: int | None = None
    notes: dict[str, Any] = field(default_factory=dict)
    reports: list[tuple[int, dict[str, float]]] = field(default_factory=list)
    asked: int = 0

    def report(self, step: int, **values: float) -> None:
        """Keep the progress."""
        self.reports.append((step, values))

    def note(self, name: str, value: object) -> None:
        """Keep the fact."""
        self.notes[name] = value

    def should_stop(self) -> bool:
        """Whether it was asked more often than ``stop_after``."""
        self.asked += 1
        return self.stop_after is not None and self.asked > self.stop_after
