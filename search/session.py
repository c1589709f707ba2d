"""A session: the time in which one driver holds a run directory and writes to its store."""

from __future__ import annotations

import contextlib
import shutil
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from search.api.errors import SearchError, StoreError
from search.api.exporting import SharesWeights
from search.api.metric import Metric
from search.api.trial import Trial
from search.assemble import Components
from search.config import StudySection, StudySpec
from search.database import public
from search.driver import Driver, Watcher
from search.final import measure_on_test
from search.proposals import Proposals
from search.results import front
from search.run_directory import RunDirectory
from search.store import Store
from search.stored import Meta
from search.worker import limit_threads, prepare


@dataclass
class Session:
    """An open store and the driver that writes to it."""

    store: Store
    driver: Driver

    def prepare(self, components: Components, study: StudySection) -> None:
        """Do the work that all trials share, once, with its progress shown as trial -1."""
        limit_threads(study.threads)
        driver = self.driver

        def hook(kind: str, data: Mapping[str, Any]) -> None:
            driver.watcher.trial_event(-1, kind, data)

        try:
            notes = prepare(components, study.seed, hook, driver.should_stop)
        except SearchError:
            if driver.should_stop():  # asked to stop, the method gave up: an orderly end
                return
            raise
        if notes:
            self.store.note(teacher=notes)
        method: object = components.ladder.method
        if isinstance(method, SharesWeights):
            self.store.directory.keep_shared(method.shared_weights())

    def test(self, components: Components, objectives: Sequence[Metric]) -> None:
        """Measure the trials on the front on the test split, each once."""
        done = self.store.tested()
        chosen = [t for t in front(self.store.trials(), objectives) if t.number not in done]
        for number, found in measure_on_test(components, chosen, self.driver.watcher.message):
            self.store.keep_test(number, found)


@contextlib.contextmanager
def open_session(
    path: Path,
    spec: StudySpec,
    meta: Meta,
    proposals: Proposals,
    *,
    watcher: Watcher,
    callbacks: Sequence[Callable[[Trial], None]] = (),
    accept_change: bool = False,
) -> Iterator[Session]:
    """Take the run directory, load what it holds, and give it back at the end of the block.

    Raises:
        StoreError: the directory is in use, or holds a study with another configuration and
            ``accept_change`` is false.
    """
    name = meta.study if meta.arm == "main" else f"{meta.study}/{meta.arm}"
    directory = RunDirectory.create(path, spec.study.storage, name)
    try:
        store = Store.open(directory)
    except SearchError:
        directory.release()
        raise
    try:
        _begin(path, store, meta, accept_change)
        driver = Driver(
            store=store,
            params=meta.params,
            proposals=proposals,
            searcher=proposals.searcher,
            objectives=meta.objectives,
            budget=spec.budget,
            seed=spec.study.seed,
            max_failures=spec.study.max_failures,
            max_retries=spec.study.max_retries,
            watcher=watcher,
            callbacks=callbacks,
        )
        driver.take_over()
        store.start_session()
        store.note(reason=proposals.searcher.reason)
        yield Session(store, driver)
    finally:
        with contextlib.suppress(StoreError):  # a full disk must not hide what went wrong before
            if store.exists:
                store.end_session()
        shutil.rmtree(path / "work", ignore_errors=True)
        store.close()


def _begin(path: Path, store: Store, meta: Meta, accept_change: bool) -> None:
    changed = store.exists and store.digest != meta.digest
    if changed and not accept_change:
        raise StoreError(
            f"{path}: holds a study with another configuration "
            f"({', '.join(differences(store.spec, meta.spec)) or 'plugins'} changed). Choose "
            "another study.name, or go on nevertheless with --accept-change"
        )
    store.begin(meta)
    if changed or store.spec != public(meta.spec):  # a raised budget must outlive an interruption
        store.write_meta(meta)


@contextlib.contextmanager
def interruptible(driver: Driver) -> Iterator[None]:
    """First Ctrl-C: end in order. Second: at once. Only in the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def on_signal(number: int, frame: Any) -> None:
        if driver.interrupted:
            raise KeyboardInterrupt
        driver.interrupt()
        driver.watcher.message(
            "stopping: trials in flight are ended (Ctrl-C again to quit at once)"
        )

    old_int = signal.signal(signal.SIGINT, on_signal)
    old_term = signal.signal(signal.SIGTERM, on_signal)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, old_int)
        signal.signal(signal.SIGTERM, old_term)


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Top-level sections in which two specifications differ, leaving out what may change."""
    keys = (set(old) | set(new)) - StudySpec.MUTABLE
    return sorted(
        k
        for k in keys
        if k != "study"
        and old.get(k) != new.get(k)
        or k == "study"
        and {**old[k], "storage": ""} != {**new[k], "storage": ""}
    )
