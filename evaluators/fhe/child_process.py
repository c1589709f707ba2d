"""Runs a library in a process of its own, watched, limited and reaped in every case.

Libraries for encrypted computing abort, panic, hang and eat memory. Whatever one does ends here as
a :class:`BackendFailure` with a kind, and no process is left behind.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import math
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, get_args

from evaluators.fhe.backends import Limits
from evaluators.fhe.failures import BackendFailure, FailureKind
from search.api.errors import EvaluationError

STAGES, FAILURE, LOG = "stages.txt", "failure.json", "child.log"
"""In the folder: a line for each stage begun; what a child says when it fails; its output."""
FAILED = 3
"""Exit code of a child that wrote down why it failed."""

_PARENT = "CIPHER_SEARCH_PARENT"
_POLL_S = (0.002, 0.05)
_MEMORY_EVERY_S = 0.2
_NEAR_LIMIT = 0.9
_PR_SET_PDEATHSIG = 1
_LINE = 300

# What the libraries say -> what it means. The first match counts.
_SAYINGS: tuple[tuple[str, FailureKind], ...] = (
    ("bad_alloc", "memory"),
    ("out of memory", "memory"),
    ("cannot allocate", "memory"),
    ("scale out of bounds", "scale_mismatch"),
    ("scale mismatch", "scale_mismatch"),
    ("encoded values are too large", "overflow"),
    ("encoded value is too large", "overflow"),
    ("end of modulus switching chain", "depth"),
    ("not at the same level", "depth"),
    ("enough qualifying primes", "no_primes"),
    ("cannot genmoduli", "no_primes"),
    ("invalid_parameters_insecure", "insecure"),
    ("parameters are not set correctly", "no_primes"),
    ("unsupported", "unsupported"),
)


def kind_of(message: str, otherwise: FailureKind = "crash") -> FailureKind:
    """The way of failing that a library's message stands for."""
    lower = message.lower()
    return next((kind for saying, kind in _SAYINGS if saying in lower), otherwise)


@dataclass(frozen=True)
class Ended:
    """A child that ended well.

    Args:
        seconds: wall-clock time from its start to its end.
        peak_mb: largest resident memory that was seen, in MB (10^6 bytes).
    """

    seconds: float
    peak_mb: float


def run_child(
    command: Sequence[str],
    folder: Path,
    limits: Limits,
    *,
    should_stop: Callable[[], bool] | None = None,
) -> Ended:
    """Run ``command`` with ``folder`` as its last argument, and wait for its end.

    Args:
        command: program and arguments.
        folder: where it finds its work and leaves its results.
        limits: after which it is ended.
        should_stop: asked now and then; true ends it.

    Raises:
        BackendFailure: it did not end well.
        EvaluationError: a stop was asked for.
    """
    count = {name: "1" for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
    path = os.pathsep.join(filter(None, sys.path))
    environment = {**os.environ, **count, "PYTHONPATH": path, _PARENT: str(os.getpid())}
    with (folder / LOG).open("wb") as log:
        process = subprocess.Popen(
            [*command, str(folder)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=environment,
            start_new_session=True,  # Ctrl-C is ours to handle, and the group is ours to end
        )
    watch = _Watch(process, folder, limits, should_stop)
    try:
        return watch.until_done()
    finally:
        _end_group(process)


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """End the child and whatever it forked; it leads a group of its own."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


class _Watch:
    """Waits for a child, and says what went wrong with it."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        folder: Path,
        limits: Limits,
        should_stop: Callable[[], bool] | None,
    ) -> None:
        self._process, self._folder, self._limits = process, folder, limits
        self._should_stop = should_stop
        self._peak_mb = 0.0

    def until_done(self) -> Ended:
        """Return when the child has ended well; raises as :func:`run_child`."""
        began = time.monotonic()
        pause, look = _POLL_S[0], 0.0
        while (code := self._process.poll()) is None:
            seconds = time.monotonic() - began
            if seconds > self._limits.seconds:
                raise BackendFailure(
                    "timeout",
                    f"no answer within {self._limits.seconds:g} s ({self._where()}). Raise the "
                    "limit, or take fewer images or a smaller network",
                )
            if self._should_stop is not None and self._should_stop():
                raise EvaluationError("encrypted run: stopped, as the study was asked to")
            if seconds >= look:
                look = seconds + _MEMORY_EVERY_S
                self._check_memory()
            time.sleep(pause)
            pause = min(_POLL_S[1], 1.5 * pause)
        if code:
            raise self._obituary(code)
        return Ended(time.monotonic() - began, self._peak_mb)

    def _check_memory(self) -> None:
        self._peak_mb = max(self._peak_mb, _resident_mb(self._process.pid))
        if self._peak_mb > self._limits.memory_mb:
            raise BackendFailure(
                "memory",
                f"{self._peak_mb:.0f} MB are used ({self._where()}; "
                f"allowed are {self._limits.memory_mb:g} MB)",
            )

    def _where(self) -> str:
        """In which stage the child is or was."""
        with contextlib.suppress(OSError):
            stages = (self._folder / STAGES).read_text("utf-8", "replace").split("\n")[:-1]
            if stages:
                return f"in stage {stages[-1]}"
        return "before its first stage"

    def _obituary(self, code: int) -> BackendFailure:
        told = self._told() if code == FAILED else None
        if told is not None:
            return told
        words = self._last_words()
        if code < 0:
            kind: FailureKind = kind_of(words)
            if -code == signal.SIGXCPU:
                kind = "timeout"
            elif self._peak_mb > _NEAR_LIMIT * self._limits.memory_mb:
                kind = "memory"
            how = f"ended by signal {_signal_name(-code)}"
        else:
            kind, how = kind_of(words), f"ended with code {code}"
        return BackendFailure(kind, f"the child {how} {self._where()}" + (words and f": {words}"))

    def _told(self) -> BackendFailure | None:
        """What the child itself says; None if it does not."""
        try:
            data = json.loads((self._folder / FAILURE).read_text(encoding="utf-8"))
            kind, detail = str(data["kind"]), str(data["detail"])
        except (OSError, ValueError, KeyError, TypeError):
            return None
        known: tuple[FailureKind, ...] = get_args(FailureKind)
        found = next((k for k in known if k == kind), kind_of(detail))
        return BackendFailure(found, f"{detail} ({self._where()})")

    def _last_words(self) -> str:
        with contextlib.suppress(OSError):
            lines = (self._folder / LOG).read_text("utf-8", "replace").strip().splitlines()
            # A panic of Go comes first and a long trace of stacks after it.
            said = [line.strip() for line in lines if line.startswith(("panic:", "fatal error:"))]
            return (said or [line.strip() for line in lines[-1:]] or [""])[0][:_LINE]
        return ""


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)


def _resident_mb(pid: int) -> float:
    """Resident memory of ``pid``; 0 where the kernel does not say."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return 0.0
    return pages * resource.getpagesize() / 1e6


def end_with_parent(parent: int | None = None) -> None:
    """In a child: be killed when whoever started it is gone. Linux; elsewhere it does nothing.

    Not a thread that waits for the end of a pipe: libraries hold the interpreter's lock for long.

    Args:
        parent: process id of whoever started it; None for the caller of :func:`run_child`.
    """
    parent = int(os.environ.get(_PARENT, os.getppid())) if parent is None else parent
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it was gone before
        os._exit(FAILED)


def limit_self(limits: Limits, extra_mb: float = 0.0) -> None:
    """In a child: let the kernel refuse memory and time beyond ``limits``.

    Address space stands for memory: what is mapped already and ``extra_mb`` of files are added.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    seconds = math.ceil(limits.seconds) + 5
    with contextlib.suppress(ValueError, OSError):  # a lower limit of the site stays
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    except (OSError, ValueError):
        return
    room = pages * resource.getpagesize() + round(1e6 * (limits.memory_mb + extra_mb))
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_AS, (room, room))


def own_peak_mb() -> float:
    """In a child: its largest resident memory so far, in MB (10^6 bytes).

    Not ``ru_maxrss`` where it can be helped: on Linux that begins at the memory of whoever started
    the process, as it was before the program was loaded.
    """
    with contextlib.suppress(OSError, ValueError):
        for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024 / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


def tell_failure(folder: Path, kind: str, detail: str) -> NoReturn:
    """In a child: write down why it fails, and end."""
    data: dict[str, Any] = {"kind": kind, "detail": detail[: 4 * _LINE]}
    scratch = folder / f"{FAILURE}.{os.getpid()}"
    scratch.write_text(json.dumps(data), encoding="utf-8")
    os.replace(scratch, folder / FAILURE)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(FAILED)
