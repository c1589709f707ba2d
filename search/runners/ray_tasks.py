"""Jobs as Ray tasks: the runner for clusters, and for Ray's dashboard."""

from __future__ import annotations

import tempfile
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import cloudpickle

from search.api.errors import PluginError
from search.api.protocols import JobSource, WorkerSpec
from search.api.trial import Job
from search.runners import ray_worker
from search.runners.execution import crashed, not_ended, time_limit, too_long
from search.runners.ray_cluster import (
    Cluster,
    RayConfig,
    connected,
    load_ray,
    local_slots,
    request_of,
)
from search.runners.ray_mailbox import Event, Letterbox
from search.runners.ray_metrics import Meter
from search.runners.tensorboard import watched

_POLL_S = 0.2


class RayTasksConfig(RayConfig):
    """Options of :class:`RayTasks`."""


class RayTasks:
    """Runs each job as one Ray task, on a local cluster of its own or on an existing one.

    Args:
        config: options; keyword arguments build one.
        options: fields of :class:`RayTasksConfig`, for use without a config.

    Raises:
        ConfigError: options that cannot be.
    """

    Config = RayTasksConfig

    def __init__(self, config: RayTasksConfig | None = None, **options: Any) -> None:
        self.config = config or RayTasksConfig(**options)
        request_of(self.config)  # errors of the options now, not when the study runs
        self._cluster: Cluster | None = None
        self.announcements: list[str] = []

    @classmethod
    def from_config(cls, config: RayTasksConfig, workload: object) -> Self:
        """A runner from its options; the workload is not needed."""
        return cls(config)

    @property
    def slots(self) -> int:
        """Jobs at once; before a cluster is known, an estimate from this machine's cores."""
        return self._cluster.slots if self._cluster is not None else local_slots(self.config)

    def drain(self, source: JobSource, worker: WorkerSpec) -> None:
        """Run jobs until ``source`` has none left or asks to stop.

        Raises:
            PluginError: no cluster, no room on it, or the worker cannot be built on a node.
            MissingExtra: Ray is not installed.
        """
        with (
            connected(self.config, source, self.announcements) as cluster,
            watched(source, self.config.tensorboard) as heard,
            tempfile.TemporaryDirectory(prefix="cipher-search-ray-") as folder,
        ):
            self._cluster = cluster
            crew = _Crew(self.config, cluster, heard, worker, Path(folder))
            try:
                crew.run()
            finally:
                crew.close()


@dataclass
class _Flight:
    """A job under way."""

    job: Job
    begun: float | None = None  # known once the worker has said so: tasks may wait in Ray's queue
    where: str = ""
    reason: str = ""  # why we cancelled it


class _Crew:
    """The tasks of one drain."""

    def __init__(
        self,
        config: RayConfig,
        cluster: Cluster,
        source: JobSource,
        worker: WorkerSpec,
        folder: Path,
    ) -> None:
        self._ray = load_ray()
        self._config, self._slots, self._source = config, cluster.slots, source
        self._worker, self._folder = worker, folder
        # max_calls: Ray would end a worker after each GPU task, and with it what was built.
        self._task = self._ray.remote(max_calls=0, max_retries=0, **cluster.request)(
            ray_worker.run_trial
        )
        self._recipe = ray_worker.Recipe(uuid.uuid4().hex, self._ray.put(cloudpickle.dumps(worker)))
        self._letters = Letterbox(cluster, worker.study_name)
        self._meter = Meter(worker.study_name, source)
        self._flights: dict[Any, _Flight] = {}
        self._dry = False  # the source had nothing more, and no job was reported since
        self._kill_at: float | None = None

    def run(self) -> None:
        """Keep the cluster busy until there is nothing left to do."""
        while True:
            if self._source.should_stop():
                if self._kill_at is None:
                    self._kill_at = time.monotonic() + self._config.grace_s
            else:
                self._feed()
            if not self._flights and (self._dry or self._kill_at is not None):
                return
            landed, _ = self._ray.wait(list(self._flights), num_returns=1, timeout=_POLL_S)
            self._tell(self._letters.poll(stop=self._kill_at is not None))
            for ref in landed:
                self._land(ref)
            for ref, flight in self._flights.items():
                if not flight.reason and (reason := self._over_limit(flight)):
                    flight.reason = reason
                    self._ray.cancel(ref, force=True)

    def close(self) -> None:
        """Cancel what is left (after an error or an interrupt) and the mailbox."""
        for ref in self._flights:
            self._ray.cancel(ref, force=True)
        self._letters.close()

    def _feed(self) -> None:
        while not self._dry and len(self._flights) < self._slots:
            job = self._source.next()
            if job is None:
                self._dry = True
                return
            limited = time_limit(job, self._config.timeout_s) is not None
            task = self._task.options(name=self._worker.label(job))
            ref = task.remote(self._recipe, self._letters.actor, job, now=limited)
            self._flights[ref] = _Flight(job)

    def _tell(self, events: list[Event]) -> None:
        flights = {flight.job.number: flight for flight in self._flights.values()}
        for number, kind, data in events:
            flight = flights.get(number)
            if flight is None:
                continue  # the last words of a job that was reported as crashed
            flight.begun = flight.begun or time.monotonic()
            flight.where = flight.where or str(data.get("worker", ""))
            self._source.event(number, kind, data)

    def _land(self, ref: Any) -> None:
        """Report the job of a task that ended, one way or another."""
        flight = self._flights[ref]
        try:
            reply = self._fetch(ref)
        except self._ray.exceptions.RayError as error:
            outcome = crashed(
                flight.job,
                flight.reason or f"the worker died: {_first_line(error)}",
                seconds=time.monotonic() - flight.begun if flight.begun else 0.0,
                worker=flight.where,
            )
        else:
            if reply.broken:
                raise PluginError(f"runner ray_tasks: the worker cannot start {reply.broken}")
            if reply.mailed:
                self._tell(self._letters.empty())
            self._tell(list(reply.events))
            outcome = reply.unpack(self._folder / str(flight.job.number))
        del self._flights[ref]
        self._dry = False
        self._source.report(outcome)
        self._meter.observe(outcome)

    def _fetch(self, ref: Any) -> ray_worker.Reply:
        errors = self._ray.exceptions
        try:
            reply: ray_worker.Reply = self._ray.get(ref)
        except (
            errors.RayTaskError,
            errors.RuntimeEnvSetupError,
            errors.TaskUnschedulableError,
        ) as error:
            # The job itself cannot raise: something around it does not work on that node, such as
            # importing this package.
            raise PluginError(f"runner ray_tasks: a task cannot run: {error}") from error
        return reply

    def _over_limit(self, flight: _Flight) -> str:
        now = time.monotonic()
        limit = time_limit(flight.job, self._config.timeout_s)
        if limit is not None and flight.begun is not None and now - flight.begun > limit:
            return too_long(limit)
        if self._kill_at is not None and now > self._kill_at:
            return not_ended(self._config.grace_s)
        return ""


def _first_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
