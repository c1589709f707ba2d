"""Jobs as trials of a Ray Tune experiment, for those who want Tune's callbacks and loggers."""

from __future__ import annotations

import logging
import os
import tempfile
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import cloudpickle
from pydantic import Field

from search.api.errors import ConfigError, PluginError
from search.api.protocols import JobSource, WorkerSpec
from search.api.trial import Job
from search.runners.ray_cluster import (
    Cluster,
    RayConfig,
    connected,
    load_ray,
    local_slots,
    request_of,
)
from search.runners.ray_mailbox import Letterbox
from search.runners.ray_metrics import Meter
from search.runners.ray_worker import Recipe
from search.runners.tensorboard import watched

if TYPE_CHECKING:
    from search.runners.ray_tune_bridge import Bridge

CallbackName = Literal["tensorboard", "csv", "json"]
_CALLBACKS: Mapping[str, str] = {
    "tensorboard": "TBXLoggerCallback",
    "csv": "CSVLoggerCallback",
    "json": "JsonLoggerCallback",
}
_SETTINGS = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # only the callbacks asked for
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # the study handles Ctrl-C
    "RAY_AIR_NEW_OUTPUT": "0",  # the newer output prints even when told not to
    "RAY_CHDIR_TO_TRIAL_DIR": "0",  # relative paths mean the same in every runner
    "TUNE_WARN_SLOW_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "1000",
}


class RayTuneConfig(RayConfig):
    """Options of :class:`RayTune`."""

    callbacks: tuple[CallbackName, ...] = Field(
        (), description="Tune's own loggers to use; they write below folder"
    )
    folder: str | None = Field(
        None, description="where Tune's loggers write; without it Tune's files are deleted"
    )


class RayTune:
    """Hands the same trials to a Ray Tune experiment with reused actors.

    The study stays the only truth: Tune's own files are scratch, and Tune is never asked to
    restore an experiment.

    Args:
        config: options; keyword arguments build one.
        extra_callbacks: objects of ``ray.tune.Callback``, besides those the config names.
        options: fields of :class:`RayTuneConfig`, for use without a config.

    Raises:
        ConfigError: options that cannot be.
    """

    Config = RayTuneConfig

    def __init__(
        self,
        config: RayTuneConfig | None = None,
        *,
        extra_callbacks: Sequence[Any] = (),
        **options: Any,
    ) -> None:
        self.config = config or RayTuneConfig(**options)
        request_of(self.config)
        if self.config.callbacks and self.config.folder is None:
            raise ConfigError("give a folder for what the callbacks write", path="runner.folder")
        self._extra_callbacks = tuple(extra_callbacks)
        self._cluster: Cluster | None = None
        self.announcements: list[str] = []

    @classmethod
    def from_config(cls, config: RayTuneConfig, workload: object) -> Self:
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
            tempfile.TemporaryDirectory(prefix="cipher-search-tune-") as scratch,
        ):
            self._cluster = cluster
            from search.runners.ray_tune_bridge import Bridge

            letters = Letterbox(cluster, worker.study_name)
            try:
                bridge = Bridge(
                    heard,
                    letters,
                    Meter(worker.study_name, source),
                    slots=cluster.slots,
                    folder=Path(scratch) / "artefacts",
                )
                self._fit(bridge, letters, cluster, worker, Path(scratch))
            finally:
                letters.close()

    def _fit(
        self,
        bridge: Bridge,
        letters: Letterbox,
        cluster: Cluster,
        worker: WorkerSpec,
        scratch: Path,
    ) -> None:
        ray = load_ray()
        from ray import tune

        from search.runners.ray_tune_bridge import Puller, Pump, trainable

        recipe = Recipe(uuid.uuid4().hex, ray.put(cloudpickle.dumps(worker)))
        function = tune.with_parameters(
            trainable,
            recipe=recipe,
            mailbox=letters.actor,
            limits={"timeout_s": self.config.timeout_s, "grace_s": self.config.grace_s},
        )
        with _settings(), _quiet():
            results = tune.Tuner(
                tune.with_resources(function, _tune_request(cluster.request)),
                tune_config=tune.TuneConfig(
                    search_alg=Puller(bridge),
                    num_samples=-1,  # as many as the study has
                    reuse_actors=True,  # 50 CPU-ms per trial instead of 340
                    trial_name_creator=lambda trial: worker.label(Job(**trial.config)),
                    trial_dirname_creator=lambda trial: f"trial-{trial.trial_id}",
                ),
                run_config=tune.RunConfig(
                    name=worker.study_name,
                    storage_path=os.path.abspath(self.config.folder or scratch / "tune"),
                    callbacks=[Pump(bridge), *self._named_callbacks(), *self._extra_callbacks],
                    failure_config=tune.FailureConfig(max_failures=0),  # the study retries
                    verbose=0,
                ),
            ).fit()
        if bridge.error is not None:
            raise bridge.error
        if bridge.flights:
            raise PluginError(
                f"runner ray_tune: Tune ended with {len(bridge.flights)} trials under way "
                f"({results.num_errors} errors)"
            )

    def _named_callbacks(self) -> Iterator[Any]:
        from ray.tune import logger

        for name in self.config.callbacks:
            yield getattr(logger, _CALLBACKS[name])()


def _tune_request(request: Mapping[str, Any]) -> dict[str, Any]:
    """The request in Tune's words."""
    words = {"cpu": request["num_cpus"], "gpu": request["num_gpus"]}
    if "memory" in request:
        words["memory"] = request["memory"]
    return {**words, **request.get("resources", {})}


@contextmanager
def _settings() -> Iterator[None]:
    """Tune's settings, which it reads from the environment, for the time of one experiment."""
    before = {name: os.environ.get(name) for name in _SETTINGS}
    os.environ.update(_SETTINGS)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextmanager
def _quiet() -> Iterator[None]:
    """Tune's log without what the study says itself, such as the traceback of a lost worker."""
    log = logging.getLogger("ray.tune")
    level = log.level
    log.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        log.setLevel(level)
