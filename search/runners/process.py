"""Jobs in long-lived child processes that can be killed: the runner for one machine."""

from __future__ import annotations

import logging
import sys
import time
from multiprocessing.connection import wait
from typing import Any, Self

import cloudpickle
from pydantic import BaseModel, ConfigDict, Field

from search.api.errors import ConfigError, PluginError
from search.api.protocols import JobSource, WorkerSpec
from search.runners.execution import crashed, not_ended, parse_size, time_limit, too_long
from search.runners.slot import Slot
from search.runners.tensorboard import watched

_log = logging.getLogger(__name__)
_POLL_S = 0.2
_STARTS = 3
"""A slot whose child dies this many times in a row before it is ready is given up."""


class ProcessConfig(BaseModel):
    """Options of :class:`Process`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    slots: int = Field(2, ge=1, description="jobs at once, one child process each")
    threads: int = Field(1, ge=1, description="OpenMP/BLAS threads per child")
    timeout_s: float | None = Field(None, gt=0, description="seconds after which a job is killed")
    memory_limit: str | None = Field(
        None, description="memory per child, such as '2 GiB', above which its job is killed"
    )
    grace_s: float = Field(
        10.0, ge=0, description="seconds a job may take to end once the study is asked to stop"
    )
    tensorboard: str | None = Field(None, description="folder for TensorBoard event files")


class Process:
    """Runs jobs in child processes, one per slot, each killable without harm to the others.

    Args:
        slots: jobs at once.
        threads: OpenMP/BLAS threads per child; 1 is quickest on a busy machine.
        timeout_s: limit per job in seconds, besides the job's own; past it the child is killed.
        memory_limit: resident memory per child (``2 GiB``); above it the child is killed. Linux.
        grace_s: seconds a job may take to end after a stop, before its child is killed.
        tensorboard: folder for TensorBoard event files.

    Raises:
        ConfigError: the memory limit cannot be read, or not be watched on this system.
    """

    Config = ProcessConfig

    def __init__(
        self,
        slots: int = 2,
        *,
        threads: int = 1,
        timeout_s: float | None = None,
        memory_limit: str | None = None,
        grace_s: float = 10.0,
        tensorboard: str | None = None,
    ) -> None:
        self._slots, self.threads, self.timeout_s = slots, threads, timeout_s
        self.memory_limit, self.grace_s, self._tensorboard = memory_limit, grace_s, tensorboard
        self.memory_bytes = None
        if memory_limit is not None:
            self.memory_bytes = parse_size(memory_limit, option="runner.memory_limit")
            if sys.platform != "linux":
                raise ConfigError("works on Linux only", path="runner.memory_limit")

    @classmethod
    def from_config(cls, config: ProcessConfig, workload: object) -> Self:
        """A runner from its options; the workload is not needed."""
        return cls(**config.model_dump())

    @property
    def slots(self) -> int:
        """Jobs at once."""
        return self._slots

    def drain(self, source: JobSource, worker: WorkerSpec) -> None:
        """Run jobs until ``source`` has none left or asks to stop.

        Raises:
            PluginError: no child process could be started; says why.
        """
        with watched(source, self._tensorboard) as heard:
            pool = _Pool(self, heard, worker)
            try:
                pool.run()
            finally:
                pool.close()


class _Pool:
    """The children of one drain."""

    def __init__(self, runner: Process, source: JobSource, worker: WorkerSpec) -> None:
        self._runner, self._source = runner, source
        recipe = cloudpickle.dumps(worker)
        self._slots = [
            Slot(
                recipe,
                title=f"cipher-search worker {worker.study_name}",
                threads=runner.threads,
            )
            for _ in range(runner.slots)
        ]
        self._dry = False  # the source had nothing more, and no job was reported since
        self._kill_at: float | None = None

    def run(self) -> None:
        """Feed the children until there is nothing left to do."""
        for slot in self._slots:
            slot.start()
        while True:
            if self._source.should_stop():
                self._stop()
            else:
                self._feed()
            busy = any(slot.job for slot in self._slots)
            if not busy and (self._dry or self._kill_at is not None):
                return
            wait([slot.pipe for slot in self._slots], _POLL_S)
            for slot in list(self._slots):
                self._attend(slot)

    def close(self) -> None:
        """End all children."""
        for slot in self._slots:
            slot.ask_to_quit()
        for slot in self._slots:
            slot.close()

    def _feed(self) -> None:
        for slot in self._slots:
            if self._dry:
                return
            if slot.ready and slot.job is None:
                job = self._source.next()
                self._dry = job is None
                if job is not None:
                    slot.give(job)

    def _stop(self) -> None:
        if self._kill_at is None:
            self._kill_at = time.monotonic() + self._runner.grace_s
            for slot in self._slots:
                if slot.job is not None:
                    slot.ask_to_stop()

    def _attend(self, slot: Slot) -> None:
        dead = not slot.alive  # asked before reading: what it said before dying still counts
        for message in slot.messages():
            self._hear(slot, message)
        if dead:
            self._bury(slot, f"the worker process died: {slot.kill()}")
        elif slot.job is not None and (reason := self._over_limit(slot)):
            slot.kill()
            self._bury(slot, reason)

    def _hear(self, slot: Slot, message: tuple[Any, ...]) -> None:
        kind = message[0]
        if kind == "ready":
            slot.ready, slot.where, slot.failed_starts = True, message[1], 0
        elif kind == "broken":
            slot.broken, slot.failed_starts = message[1], _STARTS  # it would break again
        elif kind == "event":
            self._source.event(*message[1:])
        else:
            slot.job, self._dry = None, False
            self._source.report(message[1])

    def _over_limit(self, slot: Slot) -> str:
        assert slot.job is not None
        limit = time_limit(slot.job, self._runner.timeout_s)
        now = time.monotonic()
        if limit is not None and now - slot.begun > limit:
            return too_long(limit)
        allowed = self._runner.memory_bytes
        if allowed is not None and (used := slot.resident_bytes()) > allowed:
            return f"memory limit of {self._runner.memory_limit} (used {used / 2**30:.2f} GiB)"
        if self._kill_at is not None and now > self._kill_at:
            return not_ended(self._runner.grace_s)
        return ""

    def _bury(self, slot: Slot, reason: str) -> None:
        """Report the job of a dead child as crashed, and start another child if that helps."""
        job, slot.job = slot.job, None
        if job is not None:
            self._dry = False
            seconds = time.monotonic() - slot.begun
            self._source.report(crashed(job, reason, seconds=seconds, worker=slot.where))
        else:
            slot.failed_starts += 1
        if self._kill_at is not None:
            self._slots.remove(slot)
        elif slot.failed_starts < _STARTS:
            slot.start()
        else:
            self._give_up(slot, slot.broken or f"{reason} (after {_STARTS} starts)")

    def _give_up(self, slot: Slot, reason: str) -> None:
        self._slots.remove(slot)
        if not self._slots:
            raise PluginError(f"runner process: no worker process could be started: {reason}")
        _log.warning(
            "one slot less, %d left: its process does not start: %s", len(self._slots), reason
        )
