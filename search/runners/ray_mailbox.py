"""Progress out of, and the wish to stop into, jobs that run somewhere on a Ray cluster.

Short jobs send nothing: their events come back with their outcome. A job that runs longer has a
:class:`Courier`, a thread that visits the :class:`Mailbox` (an actor on the driver's node) twice a
second; the driver empties it as often, without ever waiting for it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Mapping
from typing import Any

from search.runners.execution import Throttle, not_ended, too_long
from search.runners.ray_cluster import Cluster, load_ray

VISIT_S = 0.5
"""Seconds between visits, of each worker and of the driver."""
_PATIENCE_S = 10.0

Event = tuple[int, str, dict[str, Any]]


class Mailbox:
    """Keeps events and replies until the driver fetches them, and the wish to stop.

    Args:
        study: name of the study, for people who see the actor on the dashboard.
    """

    def __init__(self, study: str) -> None:
        self._study = study
        self._events: list[Event] = []
        self._replies: dict[int, Any] = {}
        self._stop = False

    def __repr__(self) -> str:
        return f"progress of {self._study}"

    def exchange(self, events: list[Event]) -> bool:
        """A worker's visit: leaves events, learns whether to stop."""
        self._events += events
        return self._stop

    def fetch(self, stop: bool) -> list[Event]:
        """The driver's visit: says whether to stop, takes the events."""
        self._stop = stop
        events, self._events = self._events, []
        return events

    def leave(self, number: int, reply: Any) -> None:
        """Keep what a job gave until the driver takes it."""
        self._replies[number] = reply

    def take(self, number: int) -> Any:
        """What job ``number`` gave, once; None if it left nothing."""
        return self._replies.pop(number, None)


class Letterbox:
    """The driver's end of a :class:`Mailbox` it creates on its own node."""

    def __init__(self, cluster: Cluster, study: str) -> None:
        self._ray = load_ray()
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        self.actor = (
            self._ray.remote(Mailbox)
            .options(
                num_cpus=0,
                max_restarts=-1,
                scheduling_strategy=NodeAffinitySchedulingStrategy(cluster.node, soft=True),
                enable_task_events=False,  # visits would bury the trials in the dashboard's table
            )
            .remote(study)
        )
        self._visit: Any = None
        self._next_visit = 0.0

    def poll(self, *, stop: bool) -> list[Event]:
        """Events that have arrived; returns at once."""
        if self._visit is None:
            if time.monotonic() < self._next_visit:
                return []
            self._visit = self.actor.fetch.remote(stop)
        ready, _ = self._ray.wait([self._visit], timeout=0)
        return self._collect(0) if ready else []

    def empty(self) -> list[Event]:
        """Everything left by now; waits for it."""
        events = self._collect(_PATIENCE_S) if self._visit is not None else []
        if self._visit is None:  # or else the mailbox does not answer now
            self._visit = self.actor.fetch.remote(False)
            events += self._collect(_PATIENCE_S)
        return events

    def take(self, number: int) -> Any:
        """What job ``number`` left, or None."""
        with contextlib.suppress(self._ray.exceptions.RayError):
            return self._ray.get(self.actor.take.remote(number))
        return None

    def close(self) -> None:
        """End the actor."""
        self._ray.kill(self.actor)

    def _collect(self, timeout_s: float) -> list[Event]:
        visit, self._visit = self._visit, None
        self._next_visit = time.monotonic() + VISIT_S
        try:
            events: list[Event] = self._ray.get(visit, timeout=timeout_s or None)
        except self._ray.exceptions.GetTimeoutError:
            self._visit = visit  # it is late, not lost
            return []
        except self._ray.exceptions.RayError:
            return []  # the actor is being restarted; progress is lost, results are not
        return events


class Courier:
    """The worker's end of a mailbox, for one job.

    Args:
        mailbox: handle of the actor.
        number: the job's number.
        now: visit as soon as the job has started, so that the driver can watch its time.
        limit_s: kill this process after so many seconds; None leaves limits to the driver.
        grace_s: with a limit or a stop: kill this process so long after it was asked to stop.
    """

    def __init__(
        self,
        mailbox: Any,
        number: int,
        *,
        now: bool = False,
        limit_s: float | None = None,
        grace_s: float | None = None,
    ) -> None:
        self._mailbox, self._number = mailbox, number
        self._now, self._limit_s, self._grace_s = now, limit_s, grace_s
        self._begin = time.monotonic()
        self._asked_at: float | None = None
        self._lock, self._visiting = threading.Lock(), threading.Lock()
        self._events: list[Event] = []
        self._answer: Any = None  # of a visit that is late
        self._stopping, self._over = threading.Event(), threading.Event()
        self.mailed = False
        self.hook = Throttle(self._hear, VISIT_S / 2)
        self._thread = threading.Thread(target=self._walk, daemon=True)
        self._thread.start()

    def stop(self) -> bool:
        """Whether the driver asked the job to stop."""
        return self._stopping.is_set()

    def finish(self) -> list[Event]:
        """End the thread; returns the events that were not mailed."""
        self.hook.flush()
        self._over.set()
        self._thread.join(_PATIENCE_S)
        with self._lock:
            events, self._events = self._events, []
        return events

    def _hear(self, kind: str, data: Mapping[str, Any]) -> None:
        with self._lock:
            self._events.append((self._number, kind, dict(data)))
        if self._now and kind == "started":
            self._visit()

    def _walk(self) -> None:
        while not self._over.wait(self._pause()):
            self._enforce()
            self._visit()

    def _pause(self) -> float:
        """Seconds to the next visit, or to the limit if that comes first."""
        if self._limit_s is None:
            return VISIT_S
        return max(0.0, min(VISIT_S, self._begin + self._limit_s - time.monotonic()))

    def _visit(self) -> None:
        ray = load_ray()
        with self._visiting:
            events: list[Event] = []
            if self._answer is None:
                with self._lock:
                    events, self._events = self._events, []
                self._answer = self._mailbox.exchange.remote(events)
                self.mailed = self.mailed or bool(events)
            try:
                wish = ray.get(self._answer, timeout=_PATIENCE_S)
            except ray.exceptions.GetTimeoutError:
                return  # it is late, not lost: the next visit goes on waiting
            except ray.exceptions.RayError:
                self._answer = None  # the mailbox is being restarted: try again next time
                with self._lock:
                    self._events = events + self._events
                return
            self._answer = None
        if wish and not self._stopping.is_set():
            self._asked_at = time.monotonic()
            self._stopping.set()

    def _enforce(self) -> None:
        now = time.monotonic()
        if self._limit_s is not None and now - self._begin > self._limit_s:
            self._end(too_long(self._limit_s))
        grace, asked = self._grace_s, self._asked_at
        if grace is not None and asked is not None and now - asked > grace:
            self._end(not_ended(grace))

    def _end(self, reason: str) -> None:
        """End this process as a crash would, having said why."""
        self._hear("killed", {"reason": reason})
        self._visit()
        os.kill(os.getpid(), signal.SIGKILL)
