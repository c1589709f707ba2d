"""TensorBoard event files, one folder per trial, written by the driver from what it hears."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from search.api.errors import MissingExtra
from search.api.protocols import JobSource
from search.api.trial import Job, Outcome


@contextmanager
def watched(source: JobSource, folder: str | Path | None) -> Iterator[JobSource]:
    """``source``, with everything it hears also written below ``folder``; None: just ``source``.

    ``folder/trial-00007`` holds the steps, measurements and parameters of trial 7, and
    ``folder/study`` every measurement over trial numbers.

    Raises:
        MissingExtra: tensorboardX is not installed.
    """
    if folder is None:
        yield source
        return
    recorder = Recorder(source, Path(folder))
    try:
        yield recorder
    finally:
        recorder.close()


class Recorder:
    """A job source that passes everything on to another one and writes event files."""

    def __init__(self, source: JobSource, folder: Path) -> None:
        try:
            import tensorboardX
        except ModuleNotFoundError as error:
            raise MissingExtra(
                "option tensorboard needs the package 'tensorboardX'. "
                "Run `pip install 'cipher-search[tensorboard]'`."
            ) from error
        self._make = tensorboardX.SummaryWriter
        self._source, self._folder = source, folder
        self._trials: dict[int, Any] = {}
        self._jobs: dict[int, Job] = {}
        self._study = self._writer("study")

    def next(self) -> Job | None:
        """The next job of the source."""
        job = self._source.next()
        if job is not None:
            self._jobs[job.number] = job
        return job

    def event(self, number: int, kind: str, data: Mapping[str, Any]) -> None:
        """Write a ``step``'s numbers, then pass the event on."""
        if kind == "step":
            step = int(data.get("step", 0))
            for name, value in data.items():
                if name != "step" and _is_number(value):
                    self._trial(number).add_scalar(name, value, step)
        self._source.event(number, kind, data)

    def report(self, outcome: Outcome) -> None:
        """Write measurements and parameters, close the trial's file, then pass it on."""
        number = outcome.number
        writer = self._trial(number)
        for rank, rung in enumerate(outcome.rungs):
            writer.add_scalar("rung_seconds", rung.seconds, rank)
            for m in rung.measurements:
                tag = f"{rung.rung}/{m.metric}" + (f"_{m.split}" if m.split == "test" else "")
                writer.add_scalar(tag, m.value, rank)
                self._study.add_scalar(tag, m.value, number)
        job = self._jobs.pop(number, None)
        if job is not None:
            for name, value in job.point.items():
                writer.add_text(f"parameters/{name}", str(value), 0)
        writer.add_text("status", f"{outcome.status} {outcome.error}".strip(), 0)
        self._trials.pop(number).close()
        self._study.flush()
        self._source.report(outcome)

    def should_stop(self) -> bool:
        """As the source says."""
        return self._source.should_stop()

    def __getattr__(self, name: str) -> Any:
        # Optional members of a source (such as ``metrics``) are looked up by runners.
        return getattr(self._source, name)

    def close(self) -> None:
        """Close all files."""
        for writer in (*self._trials.values(), self._study):
            writer.close()

    def _trial(self, number: int) -> Any:
        if number not in self._trials:
            self._trials[number] = self._writer(f"trial-{number:05d}")
        return self._trials[number]

    def _writer(self, name: str) -> Any:
        return self._make(logdir=str(self._folder / name))


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
