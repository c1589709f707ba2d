"""Jobs in the driver's own process, one at a time."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field

from search.api.protocols import JobSource, ProgressHook, WorkerSpec
from search.api.trial import Job
from search.runners.execution import run_job, time_limit
from search.runners.tensorboard import watched


class InlineConfig(BaseModel):
    """Options of :class:`Inline`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    timeout_s: float | None = Field(
        None,
        gt=0,
        description="seconds after which a job is asked to stop; it cannot be forced to here",
    )
    tensorboard: str | None = Field(None, description="folder for TensorBoard event files")


class Inline:
    """Runs jobs in this process, one after the other: easiest to debug, cheapest per trial.

    A time limit cannot be enforced here: past it, the job's ``stop()`` is True and the outcome is
    what the worker then says. A job that kills the process kills the study (``resume`` repeats
    the trial).

    Args:
        timeout_s: limit per job in seconds, besides the job's own.
        tensorboard: folder for TensorBoard event files.
    """

    Config = InlineConfig

    def __init__(self, *, timeout_s: float | None = None, tensorboard: str | None = None) -> None:
        self._timeout_s, self._tensorboard = timeout_s, tensorboard

    @classmethod
    def from_config(cls, config: InlineConfig, workload: object) -> Self:
        """A runner from its options; the workload is not needed."""
        return cls(timeout_s=config.timeout_s, tensorboard=config.tensorboard)

    @property
    def slots(self) -> int:
        """Always 1."""
        return 1

    def drain(self, source: JobSource, worker: WorkerSpec) -> None:
        """Run jobs until ``source`` has none left or asks to stop."""
        with watched(source, self._tensorboard) as heard:
            execute = worker.build()
            while not heard.should_stop():
                job = heard.next()
                if job is None:
                    return
                hook, stop = _hook(heard, job), self._stop(heard, job)
                heard.report(run_job(execute, job, hook, stop))

    def _stop(self, source: JobSource, job: Job) -> Callable[[], bool]:
        limit = time_limit(job, self._timeout_s)
        end = float("inf") if limit is None else time.monotonic() + limit
        return lambda: time.monotonic() > end or source.should_stop()


def _hook(source: JobSource, job: Job) -> ProgressHook:
    def hear(kind: str, data: Mapping[str, Any]) -> None:
        source.event(job.number, kind, data)

    return hear
