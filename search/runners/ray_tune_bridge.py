"""Between a job source and Ray Tune: a searcher that pulls jobs, a callback, a trainable.

Imports Ray Tune, so :mod:`search.runners.ray_tune` loads it only when it runs.
"""

from __future__ import annotations

import dataclasses
import functools
import pickle
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ray import tune
from ray.exceptions import RayActorError
from ray.tune.search import Searcher

from search.api.errors import PluginError
from search.api.protocols import JobSource
from search.api.trial import Job, Outcome
from search.runners import ray_worker
from search.runners.execution import Throttle, crashed, time_limit
from search.runners.ray_cluster import load_ray
from search.runners.ray_mailbox import Letterbox
from search.runners.ray_metrics import Meter

REPORT_EVERY_S = 1.0
"""A step reaches Tune's loggers at most this often: each report costs its driver a round."""


@dataclasses.dataclass
class Flight:
    """A job under way."""

    job: Job
    begun: float | None = None
    where: str = ""
    reason: str = ""  # why its worker ended itself


class Bridge:
    """The study as Tune's parts see it. All calls come from the driver's thread.

    An error of the study, or of the set-up on a node, is kept in ``error`` and ends the
    experiment: Tune would log it and go on.

    Args:
        source: the study.
        letters: the driver's end of the mailbox.
        meter: told of each outcome.
        slots: jobs at once.
        folder: where artefacts are written.
    """

    def __init__(
        self, source: JobSource, letters: Letterbox, meter: Meter, *, slots: int, folder: Path
    ) -> None:
        self._source, self._letters, self._meter = source, letters, meter
        self._slots, self._folder = slots, folder
        self._dry = False
        self.flights: dict[int, Flight] = {}
        self.error: BaseException | None = None

    def suggest(self) -> Job | None | str:
        """The next job; None: ask again later; ``Searcher.FINISHED``: there will be none."""
        job: Job | None = None
        if not self._ending():
            if self._dry or len(self.flights) >= self._slots:
                return None
            job = self._guard(self._source.next)
        if job is None:
            self._dry = True
            return None if self.flights else str(Searcher.FINISHED)
        self.flights[job.number] = Flight(job)
        return job

    def poll(self) -> None:
        """Pass on what running jobs say, and the wish to stop to them."""
        self._tell(self._letters.poll(stop=self._ending()))

    def land(self, number: int, error: BaseException | None) -> None:
        """Tune says that a trial ended."""
        self._guard(lambda: self._land(number, error))

    def _land(self, number: int, error: BaseException | None) -> None:
        reply: ray_worker.Reply | None = self._letters.take(number)
        if reply is None or reply.mailed:
            self._tell(self._letters.empty())
        flight = self.flights.pop(number)
        self._dry = False
        if reply is not None and reply.broken:
            raise PluginError(f"runner ray_tune: the worker cannot start {reply.broken}")
        if reply is not None:
            self.flights[number] = flight  # so that its last events find it
            self._tell(list(reply.events))
            del self.flights[number]
            outcome = reply.unpack(self._folder / str(number))
        elif error is None or isinstance(error, RayActorError):
            outcome = self._lost(flight, error)
        else:
            raise PluginError(f"runner ray_tune: a trial cannot run: {error}") from error
        self._source.report(outcome)
        self._meter.observe(outcome)

    def _lost(self, flight: Flight, error: BaseException | None) -> Outcome:
        why = f": {type(error).__name__}" if error is not None else ""
        seconds = time.monotonic() - flight.begun if flight.begun else 0.0
        text = flight.reason or f"the worker died{why}"
        return crashed(flight.job, text, seconds=seconds, worker=flight.where)

    def _tell(self, events: list[tuple[int, str, dict[str, Any]]]) -> None:
        for number, kind, data in events:
            flight = self.flights.get(number)
            if flight is None:
                continue  # the last words of a job that was reported as crashed
            if kind == "killed":
                flight.reason = str(data["reason"])
                continue
            flight.begun = flight.begun or time.monotonic()
            flight.where = flight.where or str(data.get("worker", ""))
            self._guard(functools.partial(self._source.event, number, kind, data))

    def _ending(self) -> bool:
        return self.error is not None or bool(self._guard(self._source.should_stop))

    def _guard(self, action: Callable[[], Any]) -> Any:
        try:
            return action()
        except BaseException as error:  # noqa: BLE001  # raised again by RayTune.drain
            self.error = self.error or error
            return None


class Puller(Searcher):
    """Tune's searcher: proposes what the study proposes."""

    def __init__(self, bridge: Bridge) -> None:
        super().__init__()
        self._bridge = bridge

    def __reduce__(self) -> Any:
        # Tune saves its searchers; ours has no memory, and Tune is never asked to restore.
        return Searcher, ()

    def suggest(self, trial_id: str) -> Any:
        """The configuration of a Tune trial: a job as plain data."""
        job = self._bridge.suggest()
        if not isinstance(job, Job):
            return job
        return {f.name: getattr(job, f.name) for f in dataclasses.fields(Job)}

    def on_trial_complete(self, trial_id: str, result: Any = None, error: bool = False) -> None:
        """Nothing: :class:`Pump` hears the same, and the trial with it."""

    def save(self, checkpoint_path: str) -> None:
        """Nothing to save."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing to restore."""


class Pump(tune.Callback):
    """Tune's callback: carries progress and results to the study."""

    def __init__(self, bridge: Bridge) -> None:
        self._bridge = bridge

    def __reduce__(self) -> Any:
        return tune.Callback, ()

    def on_step_begin(self, iteration: int, trials: Any, **info: Any) -> None:
        """Once per round of Tune's loop."""
        self._bridge.poll()

    def on_trial_complete(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        """A trial returned."""
        self._bridge.land(trial.config["number"], None)

    def on_trial_error(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        """A trial's worker died, or could not run it."""
        self._bridge.land(trial.config["number"], _error_of(trial))


def trainable(
    config: Mapping[str, Any], recipe: ray_worker.Recipe, mailbox: Any, limits: Mapping[str, Any]
) -> None:
    """One job in a Tune worker. The reply goes by mailbox; Tune hears numbers for its loggers."""
    job = Job(**config)
    steps = Throttle(lambda kind, data: tune.report(_numbers(data)), REPORT_EVERY_S)

    def tap(kind: str, data: Mapping[str, Any]) -> None:
        if kind == "step":
            steps(kind, data)

    limit = time_limit(job, limits["timeout_s"])
    reply = ray_worker.run_trial(
        recipe, mailbox, job, tap=tap, limit_s=limit, grace_s=limits["grace_s"]
    )
    load_ray().get(mailbox.leave.remote(job.number, reply))
    if not reply.broken:
        tune.report(_result(reply))


def _result(reply: ray_worker.Reply) -> dict[str, Any]:
    outcome: Outcome = pickle.loads(reply.outcome)  # noqa: S301  # made in this process
    numbers = {f"{m.fidelity}/{m.metric}": m.value for m in outcome.measurements}
    return {**numbers, "status": outcome.status, "seconds": outcome.seconds}


def _numbers(data: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in data.items() if isinstance(v, (int, float))}


def _error_of(trial: Any) -> BaseException:
    """What ended a trial, as Tune wrote it down."""
    try:
        with open(trial.pickled_error_file, "rb") as file:
            error: BaseException = pickle.load(file)  # noqa: S301  # written by Tune in this process
    except (OSError, TypeError, pickle.UnpicklingError):
        return PluginError(str(trial.get_error()))
    return error
