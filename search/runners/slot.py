"""The driver's side of one child process: start it, talk to it, watch it, kill it."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from typing import Any

import cloudpickle

from search.api.trial import Job

# The child gets our import path before anything else, so that whatever the driver can import
# it can import as well. It does not import the driver's main script (multiprocessing's spawn
# would), so scripts need no ``if __name__ == "__main__"``.
_BOOT = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from search.runners.child import main; main(int(sys.argv[2]), int(sys.argv[3]))"
)
_QUIT_S = 2.0


class Slot:
    """One long-lived child process, restarted when it dies.

    Args:
        recipe: the cloudpickled worker recipe.
        title: shown in the child's command line, for people who look at ``ps``.
        threads: OpenMP/BLAS threads of the child.
    """

    def __init__(self, recipe: bytes, *, title: str, threads: int) -> None:
        self._recipe, self._title = recipe, title
        count = str(threads)
        self._environment = {
            **os.environ,
            "OMP_NUM_THREADS": count,
            "MKL_NUM_THREADS": count,
            "OPENBLAS_NUM_THREADS": count,
        }
        self._process: subprocess.Popen[bytes] | None = None
        self._pipe: Connection[Any, Any] | None = None
        self.ready = False
        self.where = ""
        self.failed_starts = 0
        self.broken = ""
        self.job: Job | None = None
        self.begun = 0.0

    def start(self) -> None:
        """Start a child; it says ``ready`` or ``broken`` later."""
        ours, theirs = Pipe()
        command = [sys.executable, "-c", _BOOT, json.dumps(sys.path)]
        command += [str(theirs.fileno()), str(os.getpid()), self._title]
        self._process = subprocess.Popen(
            command,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            pass_fds=(theirs.fileno(),),
            process_group=0,  # Ctrl-C at the terminal reaches the driver only
        )
        theirs.close()
        self._pipe, self.ready, self.job = ours, False, None
        self._send_bytes(self._recipe)

    @property
    def pipe(self) -> Connection[Any, Any]:
        """The pipe to wait on; only of a started slot."""
        assert self._pipe is not None
        return self._pipe

    @property
    def alive(self) -> bool:
        """Whether the child process runs."""
        return self._process is not None and self._process.poll() is None

    def give(self, job: Job) -> None:
        """Hand a job to an idle, ready child."""
        self.job, self.begun = job, time.monotonic()
        self._send("job", job)

    def ask_to_stop(self) -> None:
        """Make the job's ``stop()`` true."""
        self._send("stop")

    def messages(self) -> Iterator[tuple[Any, ...]]:
        """What the child has said and nobody read yet, also after its death."""
        with contextlib.suppress(EOFError, OSError):
            while self.pipe.poll():
                yield pickle.loads(self.pipe.recv_bytes())  # noqa: S301  # from our child

    def resident_bytes(self) -> int:
        """Memory of the child in RAM, in bytes; 0 where the system does not say."""
        if self._process is None:
            return 0
        try:
            fields = Path(f"/proc/{self._process.pid}/statm").read_text().split()
        except OSError:
            return 0
        return int(fields[1]) * os.sysconf("SC_PAGE_SIZE")

    def kill(self) -> str:
        """End the child and whatever it started, now; says how it had ended if it was dead."""
        if self._process is None:
            return ""
        dead = self._process.poll()
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        code = self._process.wait()
        if self._pipe is not None:
            self._pipe.close()
        self._process, self._pipe, self.ready = None, None, False
        return _exit_words(code if dead is None else dead)

    def ask_to_quit(self) -> None:
        """Let an idle child end by itself, soon; :meth:`close` waits for it."""
        if self.ready and self.job is None:
            self._send("quit")
        elif self._process is not None:
            self.kill()

    def close(self) -> None:
        """End the child: by itself within a moment if it was asked, otherwise by force."""
        if self._process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_QUIT_S)
        self.kill()

    def _send(self, *message: object) -> None:
        self._send_bytes(cloudpickle.dumps(message))

    def _send_bytes(self, message: bytes) -> None:
        # A dead child is found by its exit status in the next round, not here.
        with contextlib.suppress(OSError):
            self.pipe.send_bytes(message)


def _exit_words(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = "unknown"
    hint = " (perhaps the system ran out of memory)" if -code == signal.SIGKILL else ""
    return f"signal {-code} {name}{hint}"
