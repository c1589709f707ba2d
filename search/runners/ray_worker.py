"""What runs inside Ray's worker processes, on any node: one job in, one reply out."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import importlib
import os
import pickle
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cloudpickle

from search.api.protocols import Execute, ProgressHook
from search.api.trial import Job, Outcome
from search.runners.execution import failure_text, run_job
from search.runners.ray_cluster import load_ray
from search.runners.ray_mailbox import Courier, Event


@dataclasses.dataclass(frozen=True)
class Recipe:
    """The worker's recipe: an id to remember it by, and where to get it once per process.

    Args:
        id: differs between drains.
        ref: object reference of the cloudpickled :class:`~search.api.protocols.WorkerSpec`.
    """

    id: str
    ref: Any = dataclasses.field(compare=False)


@dataclasses.dataclass(frozen=True)
class Reply:
    """What comes back from a job.

    Args:
        outcome: the pickled outcome, its artefact paths being those of the worker's host.
        files: artefact name -> content; the driver may be on another host.
        events: events that were not mailed before.
        mailed: whether events were mailed before.
        broken: why the worker could not be built; nothing ran then.
    """

    outcome: bytes = b""
    files: Mapping[str, bytes] = dataclasses.field(default_factory=dict)
    events: tuple[Event, ...] = ()
    mailed: bool = False
    broken: str = ""

    def unpack(self, folder: Path) -> Outcome:
        """The outcome with its artefacts written below ``folder``, on this host.

        Raises:
            ValueError: an artefact's name leads out of ``folder``.
        """
        outcome: Outcome = pickle.loads(self.outcome)  # noqa: S301  # from our own worker
        for name, content in self.files.items():
            path = folder / name
            if not path.resolve().is_relative_to(folder.resolve()):
                raise ValueError(f"artefact {name!r} would leave the trial's folder")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return dataclasses.replace(outcome, artefacts={name: folder / name for name in self.files})


def run_trial(
    recipe: Recipe,
    mailbox: Any,
    job: Job,
    *,
    tap: ProgressHook | None = None,
    now: bool = False,
    limit_s: float | None = None,
    grace_s: float | None = None,
) -> Reply:
    """Run ``job`` in this process.

    Args:
        recipe: of the worker; built once per process.
        mailbox: handle of the :class:`~search.runners.ray_mailbox.Mailbox`.
        job: the job.
        tap: hears the job's progress as well, in this process.
        now: see :class:`~search.runners.ray_mailbox.Courier`.
        limit_s: as well.
        grace_s: as well.
    """
    try:
        execute = _built(recipe)
    except Exception as error:  # noqa: BLE001  # plugins load here: the driver must hear why
        return Reply(broken=f"on {where()}: {failure_text(error)}")
    title = load_ray().get_runtime_context().get_task_name() or f"trial {job.number}"
    courier = Courier(mailbox, job.number, now=now, limit_s=limit_s, grace_s=grace_s)

    def hook(kind: str, data: Mapping[str, Any]) -> None:
        courier.hook(kind, data)
        if kind == "rung":
            _show(f"{title}, rung {data.get('rung', '?')}")
        if tap is not None:
            tap(kind, data)

    try:
        outcome = run_job(execute, job, hook, courier.stop, where())
    finally:
        events = courier.finish()
    return _pack(outcome, tuple(events), courier.mailed)


def where() -> str:
    """Host, Ray node and process id of this worker, for people."""
    node = load_ray().get_runtime_context().get_node_id()
    return f"{platform.node()} node {node[:8]} pid {os.getpid()}"


def _show(text: str) -> None:
    """Put ``text`` into this process's title, for the dashboard's Cluster page and for ``ps``.

    A task's name cannot change while it runs, so the rung is shown here. Ray puts its own title
    back when the task ends.
    """
    setproctitle = getattr(importlib.import_module("ray._raylet"), "setproctitle", None)
    if setproctitle is not None:  # it is not part of Ray's documented interface
        setproctitle(f"ray::{text}")


@functools.lru_cache(maxsize=1)  # a process that serves another study next needs the first no more
def _built(recipe: Recipe) -> Execute:
    worker = pickle.loads(load_ray().get(recipe.ref))  # noqa: S301  # from our own driver
    execute: Execute = worker.build()
    return execute


def _pack(outcome: Outcome, events: tuple[Event, ...], mailed: bool) -> Reply:
    try:
        packed = cloudpickle.dumps(outcome)
        files = {name: path.read_bytes() for name, path in outcome.artefacts.items()}
    except Exception as error:  # noqa: BLE001  # any object may refuse to be pickled
        text = f"the outcome cannot be sent to the driver: {failure_text(error)}"
        failed = Outcome(outcome.number, "failed", error=text, worker=outcome.worker)
        return Reply(cloudpickle.dumps(failed), {}, events, mailed)
    for name, path in outcome.artefacts.items():
        _remove(path, depth=len(Path(name).parts))
    return Reply(packed, files, events, mailed)


def _remove(path: Path, depth: int) -> None:
    """Remove a file that was shipped, and the folders (up to the trial's) that are empty then."""
    path.unlink(missing_ok=True)
    for folder in list(path.parents)[:depth]:
        with contextlib.suppress(OSError):
            folder.rmdir()
