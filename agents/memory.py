"""Lessons of earlier sessions: a small JSON file that a person can read, mend and delete.

Off unless a file is named. A lesson holds facts of one confirmation: the kind of network by depth
and width, the configuration, what was foretold and measured, and how it ended. What carries over to
the next network is how far forecasts were off on this machine.
"""

from __future__ import annotations

import json
import os
import statistics
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from agents.goals import PREDICTED_BY
from search.api.errors import StoreError
from search.api.trial import Trial

if TYPE_CHECKING:
    from agents.workbench import StudyBench

SCHEMA = 1
MOST = 200
"""Lessons kept; the oldest go first."""


@dataclass(frozen=True)
class Lesson:
    """What one confirmation showed.

    Args:
        study: name of the study.
        levels, widest: of the network.
        point: configuration, as JSON.
        ended: whether it held.
        foretold, measured: metric -> value.
        failure: what was wrong, if anything.
    """

    study: str
    levels: int
    widest: int
    point: Mapping[str, Any]
    ended: Literal["held", "failed"]
    foretold: Mapping[str, float] = field(default_factory=dict)
    measured: Mapping[str, float] = field(default_factory=dict)
    failure: str = ""


class Lessons:
    """The lessons in a file.

    Args:
        path: JSON file; made with the first lesson.

    Raises:
        StoreError: it is there and cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lessons: list[Lesson] = []
        if path.exists():
            self._lessons = self._read()

    def all(self) -> tuple[Lesson, ...]:
        """Every lesson, oldest first."""
        return tuple(self._lessons)

    def add(self, lesson: Lesson) -> None:
        """Keep a lesson; the file is replaced as a whole."""
        self._lessons = [*self._lessons, lesson][-MOST:]
        data = {"schema": SCHEMA, "lessons": [asdict(entry) for entry in self._lessons]}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        scratch = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        scratch.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
        scratch.replace(self.path)

    def keep(self, bench: StudyBench, trial: Trial, ended: Literal["held", "failed"]) -> None:
        """Keep what a confirmation showed."""
        measured = {
            m.metric: m.value for m in (trial.outcome.measurements if trial.outcome else ())
        }
        foretold = {name: measured[by] for name, by in PREDICTED_BY.items() if by in measured}
        layers = getattr(bench.study.components.ladder.space, "layers", None)
        error = trial.outcome.error.partition("\n")[0] if trial.outcome else ""
        self.add(
            Lesson(
                study=bench.study.name,
                levels=int(measured.get("levels", 0)),
                widest=layers.widest if layers is not None else 0,
                point={n: list(v) if isinstance(v, tuple) else v for n, v in trial.point.items()},
                ended=ended,
                foretold=foretold,
                measured={n: measured[n] for n in PREDICTED_BY if n in measured},
                failure=error[:200] if ended == "failed" else "",
            )
        )

    def factors(self) -> dict[str, float]:
        """Metric -> median of measured over foretold time."""
        found = {}
        for name in PREDICTED_BY:
            ratios = [
                lesson.measured[name] / lesson.foretold[name]
                for lesson in self._lessons
                if name in lesson.measured and lesson.foretold.get(name, 0.0) > 0
            ]
            if ratios and "latency" in name:
                found[name] = statistics.median(ratios)
        return found

    def offsets(self) -> dict[str, float]:
        """Metric -> median of measured minus foretold bits."""
        found = {}
        for name in PREDICTED_BY:
            gaps = [
                lesson.measured[name] - lesson.foretold[name]
                for lesson in self._lessons
                if name in lesson.measured and name in lesson.foretold
            ]
            if gaps and "precision" in name:
                found[name] = statistics.median(gaps)
        return found

    def _read(self) -> list[Lesson]:
        try:
            data = json.loads(self.path.read_text(encoding="utf-8"))
            if data["schema"] != SCHEMA:
                raise ValueError(f"schema {data['schema']!r} (expected {SCHEMA})")
            return [Lesson(**entry) for entry in data["lessons"]]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise StoreError(
                f"{self.path}: no lessons can be read from it ({error}). Mend or delete it"
            ) from error
