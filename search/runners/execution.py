"""One job in one worker: what every runner does around :class:`search.api.protocols.Execute`."""

from __future__ import annotations

import dataclasses
import os
import platform
import time
import traceback
from collections.abc import Callable, Mapping
from typing import Any

from search.api.errors import ConfigError, SearchError
from search.api.metric import convert
from search.api.protocols import Execute, ProgressHook
from search.api.trial import Job, Outcome


def run_job(
    execute: Execute, job: Job, hook: ProgressHook, stop: Callable[[], bool], where: str = ""
) -> Outcome:
    """Run ``job`` and turn whatever escapes ``execute`` into an outcome.

    The hook hears ``started`` first. An exception that escapes gives ``failed`` (it would happen
    again), ``sys.exit`` gives ``crashed``; only ``KeyboardInterrupt`` passes.

    Args:
        execute: what the worker's recipe built.
        job: the job.
        hook: hears progress as (kind, data).
        stop: whether the job should end soon.
        where: this worker's name for people; host and process id if empty.
    """
    where = where or here()
    begin = time.monotonic()
    hook("started", {"worker": where})
    try:
        outcome = execute(job, hook, stop)
    except SystemExit as error:
        outcome = Outcome(job.number, "crashed", error=f"the job called sys.exit({error.code!r})")
    except Exception:  # noqa: BLE001  # user code runs below: any failure is a result
        outcome = Outcome(job.number, "failed", error=traceback.format_exc())
    seconds = outcome.seconds or time.monotonic() - begin
    return dataclasses.replace(outcome, seconds=seconds, worker=outcome.worker or where)


def crashed(job: Job, error: str, *, seconds: float, worker: str = "") -> Outcome:
    """The outcome of a job whose worker died or was stopped by a limit."""
    return Outcome(job.number, "crashed", error=error, seconds=seconds, worker=worker)


def too_long(limit_s: float) -> str:
    """Why a job over its time was killed."""
    return f"time limit of {limit_s:g} s"


def not_ended(grace_s: float) -> str:
    """Why a job that was asked to stop was killed."""
    return f"the study was stopped, and the job did not end within {grace_s:g} s"


def failure_text(error: BaseException) -> str:
    """``error`` for people: the message of our own errors, a traceback of all others."""
    if isinstance(error, SearchError):
        return str(error)
    return "".join(traceback.format_exception(error)).rstrip()


def here() -> str:
    """Host name and process id of this worker, for people."""
    return f"{platform.node()} pid {os.getpid()}"


def time_limit(job: Job, runner_limit_s: float | None) -> float | None:
    """The tighter of the job's and the runner's limit, in seconds; None if neither is set."""
    limits = [limit for limit in (job.timeout_s, runner_limit_s) if limit is not None]
    return min(limits, default=None)


def parse_size(text: str, *, option: str) -> int:
    """Bytes from text such as ``2 GiB`` or ``1500 MB``.

    Raises:
        ConfigError: the text has another form, or the size is not positive.
    """
    number, _, unit = text.strip().partition(" ")
    try:
        size = int(convert(float(number), unit.strip(), "B")) if unit else 0
    except (ValueError, OverflowError):
        size = 0
    if size <= 0:
        raise ConfigError(f"cannot read {text!r} (expected a size such as '2 GiB')", path=option)
    return size


class Throttle:
    """A progress hook that lets ``step`` events through at most every ``every_s`` seconds.

    Other kinds always pass. The last step held back is sent before the next other event and by
    :meth:`flush`, so the final values are never lost.
    """

    def __init__(self, hook: ProgressHook, every_s: float) -> None:
        self._hook, self._every_s = hook, every_s
        self._sent_at = float("-inf")
        self._held: Mapping[str, Any] | None = None

    def __call__(self, kind: str, data: Mapping[str, Any]) -> None:
        """Pass the event on, or hold it back."""
        if kind != "step":
            self.flush()
            self._hook(kind, data)
            return
        now = time.monotonic()
        if now - self._sent_at < self._every_s:
            self._held = data
            return
        self._sent_at, self._held = now, None
        self._hook(kind, data)

    def flush(self) -> None:
        """Send the step held back, if there is one."""
        held, self._held = self._held, None
        if held is not None:
            self._hook("step", held)
