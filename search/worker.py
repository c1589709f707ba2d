"""Recipes for workers: how a driver, a child process or a Ray worker gets its ladder.

A study is made by name (:class:`SpecWorker`: plain data that any host can rebuild) or from live
objects (:class:`LiveWorker`: the user's own network and functions, carried by cloudpickle).
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from search import registry
from search.api.protocols import Execute, ProgressHook
from search.api.trial import Job, Outcome
from search.assemble import Components, assemble
from search.config import StudySpec
from search.ladder import temporary_context


@dataclass(frozen=True)
class SpecWorker:
    """A worker made by names: plain data.

    Args:
        spec: the normalised specification.
        plugin_files: ``--plugin`` files to run first.
        scratch: folder for trial folders; a temporary one where it cannot be made.
    """

    spec: StudySpec
    plugin_files: tuple[str, ...] = ()
    scratch: str = ""

    @property
    def study_name(self) -> str:
        """Name of the study."""
        return self.spec.study.name

    def build(self) -> Execute:
        """Load plugins, build the objects, prepare the method (its cache is warm by then)."""
        for file in self.plugin_files:
            registry.load_plugin_file(Path(file))
        limit_threads(self.spec.study.threads)
        return _Prepared(assemble(self.spec), self.scratch)

    def label(self, job: Job) -> str:
        """Study, trial number and key parameters."""
        return label(self.study_name, job)


@dataclass(frozen=True)
class LiveWorker:
    """A worker made of live objects; crosses processes by cloudpickle."""

    components: Components
    name: str
    threads: int = 1
    scratch: str = ""

    @property
    def study_name(self) -> str:
        """Name of the study."""
        return self.name

    def build(self) -> Execute:
        """Prepare the method."""
        limit_threads(self.threads)
        return _Prepared(self.components, self.scratch)

    def label(self, job: Job) -> str:
        """Study, trial number and key parameters."""
        return label(self.name, job)


class _Prepared:
    """Components ready to run jobs; prepares the method before the first."""

    def __init__(self, components: Components, scratch: str) -> None:
        self._components, self._scratch, self._ready = components, scratch, False

    def __call__(self, job: Job, hook: ProgressHook, stop: Callable[[], bool]) -> Outcome:
        ladder = self._components.ladder
        workdir = _trial_folder(self._scratch, job.number)
        if not self._ready:
            with temporary_context(job.seed, ladder.device, hook, stop) as ctx:
                ladder.method.prepare(ctx)
            self._ready = True
        outcome = ladder.execute(job, hook, stop, workdir)
        with contextlib.suppress(OSError):  # holds files, which the driver takes from here
            workdir.rmdir()
        return _stamp(outcome)


def prepare(
    components: Components, seed: int, hook: ProgressHook, stop: Callable[[], bool]
) -> dict[str, Any]:
    """Do the work shared by all trials once, in the driver; returns the notes it left."""
    with temporary_context(seed, components.ladder.device, hook, stop) as ctx:
        components.ladder.method.prepare(ctx)
        return dict(ctx.notes)


def label(study: str, job: Job, limit: int = 3) -> str:
    """A short text for people, such as ``polympcnet #12 latency_weight=0.31``."""
    parts = [f"{k}={_short(v)}" for k, v in list(job.point.items())[:limit]]
    return " ".join([study, f"#{job.number}", *parts])


def limit_threads(threads: int) -> None:
    """Use ``threads`` CPU threads for array work, in libraries loaded now or later.

    The number of threads changes the order of floating-point sums, so equal results in every
    runner need it fixed.
    """
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = str(threads)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(threads)


def _trial_folder(scratch: str, number: int) -> Path:
    """A fresh folder for a trial, in the run directory where this host can see it."""
    if scratch and Path(scratch).parent.is_dir():
        folder = Path(scratch) / f"trial-{number:05d}-{os.getpid()}"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return folder
    return Path(tempfile.mkdtemp(prefix=f"cipher-search-trial-{number:05d}-"))


def _stamp(outcome: Outcome) -> Outcome:
    return replace(outcome, worker=f"{socket.gethostname()}:{os.getpid()}")


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, tuple):
        text = "".join(str(v)[:1] for v in value)
        return text if len(text) <= 24 else text[:21] + "..."
    return str(value)
