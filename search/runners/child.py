"""The worker's side of :mod:`search.runners.process`: one child process, one slot.

Messages are cloudpickled tuples over one pipe. From the driver: the worker's recipe once, then
``("job", job)``, ``("stop",)``, ``("quit",)``. To the driver: ``("ready", where)`` or
``("broken", text)`` once, then ``("event", number, kind, data)`` and ``("outcome", outcome)``.
"""

from __future__ import annotations

import ctypes
import os
import pickle
import queue
import signal
import sys
import threading
from collections.abc import Mapping
from multiprocessing.connection import Connection
from typing import Any

import cloudpickle

from search.api.protocols import Execute, WorkerSpec
from search.api.trial import Job, Outcome
from search.runners.execution import Throttle, failure_text, here, run_job

STEP_EVERY_S = 0.1
"""A ``step`` event is sent at most this often: nobody reads faster, and pipes are not free."""


def main(handle: int, parent: int) -> None:
    """Serve jobs from the pipe with file descriptor ``handle`` until told to quit.

    The process ends at once when ``parent`` dies.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the driver's to handle
    _die_with(parent)
    Child(Connection(handle)).serve()


class Child:
    """Talks to the driver from two threads: one listens, the main one works."""

    def __init__(self, pipe: Connection[Any, Any]) -> None:
        self._pipe = pipe
        self._sending = threading.Lock()
        self._stopping = threading.Event()
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()

    def serve(self) -> None:
        """Build the worker, then run jobs one by one."""
        try:
            worker: WorkerSpec = pickle.loads(self._pipe.recv_bytes())  # noqa: S301  # ours
            execute = worker.build()
        except EOFError:
            return
        except Exception as error:  # noqa: BLE001  # plugins load here: the driver must hear why
            self._send("broken", failure_text(error))
            return
        threading.Thread(target=self._listen, daemon=True).start()
        self._send("ready", here())
        while (job := self._jobs.get()) is not None:
            self._run(execute, job)

    def _run(self, execute: Execute, job: Job) -> None:
        def hear(kind: str, data: Mapping[str, Any]) -> None:
            self._send("event", job.number, kind, dict(data))

        hook = Throttle(hear, STEP_EVERY_S)
        outcome = run_job(execute, job, hook, self._stopping.is_set)
        hook.flush()
        try:
            message = cloudpickle.dumps(("outcome", outcome))
        except Exception as error:  # noqa: BLE001  # any object may refuse to be pickled
            text = f"the outcome cannot be sent to the driver: {failure_text(error)}"
            failed = Outcome(job.number, "failed", error=text, worker=outcome.worker)
            message = cloudpickle.dumps(("outcome", failed))
        self._send_bytes(message)

    def _listen(self) -> None:
        while True:
            try:
                message = pickle.loads(self._pipe.recv_bytes())  # noqa: S301  # ours
            except (EOFError, OSError):
                os._exit(1)  # the driver is gone: nobody could hear the rest of the job
            if message[0] == "quit":
                self._jobs.put(None)
            elif message[0] == "stop":
                self._stopping.set()
            else:
                self._jobs.put(message[1])

    def _send(self, *message: object) -> None:
        self._send_bytes(cloudpickle.dumps(message))

    def _send_bytes(self, message: bytes) -> None:
        with self._sending:
            try:
                self._pipe.send_bytes(message)
            except OSError:
                os._exit(1)  # as in _listen


def _die_with(parent: int) -> None:
    """Ask Linux to kill this process when its parent dies; elsewhere the pipe's end does it."""
    if sys.platform == "linux":
        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)
    if os.getppid() != parent:  # it died before we could ask
        os._exit(1)
