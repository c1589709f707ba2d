"""A tiny real worker and a list of jobs to test runners with: no torch, no study.

What a job does is said by its point: ``{"do": "complete"}``, ``raise``, ``exit``, ``die`` (kill -9
of its own process), ``die_once``, ``hang`` (deaf), ``wait`` (until asked to stop), ``gate`` (until
a file ``go`` is in the folder), ``steps``, ``file``, ``grow`` (takes ever more memory),
``unpicklable``.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from search.api.errors import PluginError
from search.api.metric import Measurement
from search.api.protocols import Execute, ProgressHook
from search.api.trial import Job, Outcome, RungResult

Stop = Callable[[], bool]


@dataclass(frozen=True)
class TinyWorker:
    """A worker recipe whose jobs do as their points say.

    Args:
        folder: where jobs leave files.
        build_error: if set, :meth:`build` fails with this message.
        study_name: name of the study.
    """

    folder: Path
    build_error: str = ""
    study_name: str = "tiny"

    def build(self) -> Execute:
        """The worker's function; leaves a file that tells that it was built in this process.

        Raises:
            PluginError: ``build_error`` is set.
        """
        if self.build_error:
            raise PluginError(self.build_error)
        with (self.folder / f"built-{os.getpid()}").open("a") as file:
            file.write("x")
        return self._execute

    def label(self, job: Job) -> str:
        """Study, number and what the job does."""
        return f"{self.study_name} #{job.number} {job.point['do']}"

    def _execute(self, job: Job, hook: ProgressHook, stop: Stop) -> Outcome:
        deeds: dict[str, Callable[[Job, ProgressHook, Stop], Outcome]] = {
            "complete": _complete,
            "raise": _raise,
            "exit": _exit,
            "die": _die,
            "die_once": self._die_once,
            "hang": _hang,
            "wait": _wait,
            "gate": self._gate,
            "steps": _steps,
            "file": self._file,
            "grow": _grow,
            "unpicklable": _unpicklable,
        }
        return deeds[str(job.point["do"])](job, hook, stop)

    def _die_once(self, job: Job, hook: ProgressHook, stop: Stop) -> Outcome:
        mark = self.folder / f"died-{job.number}"
        if not mark.exists():
            mark.touch()
            _die(job, hook, stop)
        return _complete(job, hook, stop)

    def _gate(self, job: Job, hook: ProgressHook, stop: Stop) -> Outcome:
        begin = time.monotonic()
        while not (self.folder / "go").exists() and time.monotonic() - begin < 120:
            time.sleep(0.02)
        return _complete(job, hook, stop)

    def _file(self, job: Job, hook: ProgressHook, stop: Stop) -> Outcome:
        path = self.folder / f"work-{job.number}" / "weights.bin"
        path.parent.mkdir()
        path.write_bytes(bytes(range(256)) * 4096)
        return Outcome(job.number, "complete", artefacts={"weights": path})


@dataclass
class ListedJobs:
    """A job source over a fixed list that writes down everything it hears.

    Args:
        jobs: what to hand out, in order.
        retry: crashed jobs are handed out again, at most once each.
        stop_after: stop when this many outcomes were reported.
        stop_at: stop when an event of this kind is heard.
    """

    jobs: Iterable[Job]
    retry: bool = False
    stop_after: int | None = None
    stop_at: str = ""
    log: list[tuple[str, int]] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)
    events: list[tuple[int, str, dict[str, Any]]] = field(default_factory=list)
    artefacts: dict[int, dict[str, bytes]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._queue = deque(self.jobs)
        self._given: dict[int, Job] = {}
        self._retried: set[int] = set()
        self._thread = threading.get_ident()
        self._stop = False

    def next(self) -> Job | None:
        """The next job of the list."""
        self._check_thread()
        if not self._queue:
            return None
        job = self._queue.popleft()
        self._given[job.number] = job
        self.log.append(("next", job.number))
        return job

    def report(self, outcome: Outcome) -> None:
        """Keep the outcome, and read its artefacts: their paths must be valid here and now."""
        self._check_thread()
        job = self._given.pop(outcome.number)  # reported twice, or never given: KeyError
        self.log.append(("report", outcome.number))
        self.outcomes.append(outcome)
        files = {name: path.read_bytes() for name, path in outcome.artefacts.items()}
        self.artefacts[outcome.number] = files
        if self.retry and outcome.status == "crashed" and job.number not in self._retried:
            self._retried.add(job.number)
            self._queue.append(job)
        self._stop = self._stop or len(self.outcomes) == self.stop_after

    def event(self, number: int, kind: str, data: Mapping[str, Any]) -> None:
        """Keep the event."""
        self._check_thread()
        self.events.append((number, kind, dict(data)))
        self._stop = self._stop or kind == self.stop_at

    def should_stop(self) -> bool:
        """Whether a condition to stop was met."""
        self._check_thread()
        return self._stop

    def by_number(self) -> dict[int, Outcome]:
        """The last outcome of each job."""
        return {outcome.number: outcome for outcome in self.outcomes}

    def kinds(self, number: int) -> list[str]:
        """Kinds of the events of one job, in order."""
        return [kind for n, kind, _ in self.events if n == number]

    def _check_thread(self) -> None:
        if threading.get_ident() != self._thread:
            raise RuntimeError("a runner must call its source from one thread of the driver")


def jobs(*deeds: str, timeout_s: float | None = None) -> list[Job]:
    """One job per deed, numbered from 0."""
    return [Job(n, {"do": deed}, seed=n, timeout_s=timeout_s) for n, deed in enumerate(deeds)]


def _complete(job: Job, hook: ProgressHook, stop: Stop) -> Outcome:
    hook("rung", {"rung": "only"})
    value = Measurement("seed", float(job.seed), "1", "only", "measured")
    return Outcome(job.number, "complete", (RungResult("only", 0.0, (value,)),), notes=_facts())


def _facts() -> dict[str, Any]:
    return {"pid": os.getpid(), "threads": os.environ.get("OMP_NUM_THREADS", "")}


def _raise(job: Job, hook: ProgressHook, stop: Stop) -> Outcome:
    raise ZeroDivisionError("on purpose")


def _exit(job: Job, hook: ProgressHook, stop: Stop) -> Outcome:
    sys.exit(3)


def _die(job: Job, hook: ProgressHook, stop: Stop) -> Outcome:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("unreachable")


def _hang(job: Job, hook: ProgressHook, stop: Stop) -> Outcome:
    time.sleep(600)
    return _complete(job, hook, stop)


def _wait(job: Job, hook: ProgressHook, stop: Stop) -> Outcome:
    begin = time.monotonic()
    while not stop() and time.monotonic() - begin < 120:
        time.sleep(0.02)
    return Outcome(job.number, "complete", notes={"asked": stop(), **_facts()})


def _steps(job: Job, hook: ProgressHook, stop: Stop) -> Outcome:
    hook("rung", {"rung": "only"})
    for step in range(200):
        hook("step", {"step": step, "loss": 1.0 / (step + 1)})
    return _complete(job, hook, stop)


def _grow(job: Job, hook: ProgressHook, stop: Stop) -> Outcome:
    held = []
    for _ in range(100):  # at most 2 GB, should nobody watch
        held.append(bytearray(os.urandom(1)) * 20_000_000)
        time.sleep(0.02)
    return Outcome(job.number, "complete", notes={"held": len(held)})


def _unpicklable(job: Job, hook: ProgressHook, stop: Stop) -> Outcome:
    return Outcome(job.number, "complete", notes={"lock": threading.Lock()})
