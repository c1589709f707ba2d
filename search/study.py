"""The study: life cycle and programmatic interface.

``Study.from_yaml(path).run()`` for a configuration file; ``Study(...)`` with a network and data
of one's own (examples: docs/python.md).
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from search import registry
from search.api.candidate import Violation
from search.api.domain import space_size
from search.api.errors import ConfigError, PlacedError, StoreError
from search.api.metric import Evidence, Metric
from search.api.protocols import Execute, Runner
from search.api.searching import Searcher
from search.api.snapshot import Snapshot
from search.api.trial import Job, Origin, Outcome, Trial
from search.assemble import assemble
from search.blueprint import Blueprint
from search.compose import live_components, live_spec
from search.config import StudySpec, load_spec, parse_spec
from search.driver import Silent, Watcher
from search.proposals import Proposals, Queued
from search.results import told
from search.session import Session, interruptible, open_session
from search.store import Store
from search.study_results import StudyResults


class Study(StudyResults):
    """A search: its specification, its objects, and its run directory.

    Args:
        name: name of the run directory.
        objectives: names of metrics, in order; or :class:`Metric` objects for ask and tell.
        space: a registered name, a mapping with ``name`` and options, or an object.
        method: likewise (default ``direct``: build the point, train nothing).
        evaluators: names, mappings or objects, measured in a single rung; or give ``ladder``.
        ladder: rungs as mappings (``rung``, ``budget``, ``evaluators``, ``gates``), lowest first.
        workload: a network and its data, if the study has one.
        constraints: bounds on measured metrics, such as ``"latency_2pc <= 50 ms"``.
        known: bounds on parameters, such as ``"sum(mask) <= 20"``; enforced before a trial exists.
        params: parameter name -> narrowed domain (as in YAML) or fixed value.
        searcher: a registered name, or a mapping with ``name`` and options.
        trials: trials in all.
        budget: further limits, as in YAML (``wall_clock: 10 min``).
        runner: a registered name, or a mapping with ``name`` and options.
        seed, directory, storage, device, threads: as in the YAML section ``study``.

    Raises:
        ConfigError: as for a YAML file; the path names the argument.
    """

    def __init__(
        self,
        *,
        name: str,
        objectives: Sequence[str | Metric],
        space: Any,
        method: Any = "direct",
        evaluators: Sequence[Any] = (),
        ladder: Sequence[Mapping[str, Any]] = (),
        workload: Any = None,
        constraints: Sequence[str] = (),
        known: Sequence[str] = (),
        params: Mapping[str, Any] | None = None,
        searcher: Any = "auto",
        trials: int = 20,
        budget: Mapping[str, Any] | None = None,
        runner: Any = "inline",
        seed: int = 0,
        directory: str | Path = "runs",
        storage: str = "journal",
        device: str = "auto",
        threads: int = 1,
    ) -> None:
        components = live_components(
            space=space, method=method, evaluators=evaluators, ladder=ladder, workload=workload,
            objectives=objectives, constraints=constraints, params=params or {}, device=device,
        )  # fmt: skip
        section = {
            "name": name, "seed": seed, "directory": str(directory), "storage": storage,
            "device": device, "threads": threads,
        }  # fmt: skip
        spec = live_spec(
            components, study=section, known=known, constraints=constraints, searcher=searcher,
            budget={**(budget or {}), "trials": trials}, runner=runner,
        )  # fmt: skip
        self._set_up(Blueprint(spec, components, Path(directory) / name, live=True))

    @classmethod
    def from_yaml(
        cls, path: str | Path, *, overrides: Sequence[str] = (), plugins: Sequence[str | Path] = ()
    ) -> Study:
        """A study from a configuration file; ``overrides`` are texts such as ``budget.trials=5``.

        Raises:
            ConfigError, PluginError: the configuration is wrong.
        """
        for file in plugins:
            registry.load_plugin_file(Path(file))
        spec = load_spec(Path(path), overrides)
        try:
            return cls.from_spec(spec, plugins=plugins)
        except PlacedError as error:
            raise error.within(source=error.source or str(path)) from error

    @classmethod
    def from_spec(
        cls,
        spec: StudySpec,
        *,
        plugins: Sequence[str | Path] = (),
        path: Path | None = None,
        arm: str = "main",
    ) -> Study:
        """A study from a checked specification."""
        study = cls.__new__(cls)
        folder = path or Path(spec.study.directory) / spec.study.name
        files = tuple(str(Path(p).resolve()) for p in plugins)
        study._set_up(Blueprint(spec, assemble(spec), folder, arm, plugins=files))
        return study

    @classmethod
    def load(
        cls, run: str | Path, *, plugins: Sequence[str | Path] = (), storage: str | None = None
    ) -> Study:
        """The study in a run directory, ready to look at or to run on.

        Raises:
            StoreError: no run directory, or a study of live objects (see :meth:`read`).
        """
        for file in plugins:
            registry.load_plugin_file(Path(file))
        path = Path(run)
        with contextlib.closing(Store.read(path, storage)) as store:
            data, snapshot = dict(store.spec), store.snapshot()
        if data.get("live"):
            raise StoreError(
                f"{path}: the study was made in Python. Make it again with the same arguments and "
                "name to run on; `search report` and `search show` work without"
            )
        spec = parse_spec(data, source=str(path))
        if storage is not None:
            section = spec.study.model_copy(update={"storage": storage})
            spec = spec.model_copy(update={"study": section})
        return cls.from_spec(spec, plugins=plugins, path=path, arm=snapshot.arm)

    def _set_up(self, blueprint: Blueprint) -> None:
        self.blueprint, self.path, self.arm = blueprint, blueprint.path, blueprint.arm
        self.spec, self.components = blueprint.spec, blueprint.components
        self.params, self.objectives = blueprint.params, blueprint.objectives
        self._rules = blueprint.rules
        self._session: Session | None = None
        self._execute: Execute | None = None
        self._queue: list[Queued] = []
        self._stack = contextlib.ExitStack()
        self.searcher()  # refuses options that do not fit, before any trial

    @property
    def name(self) -> str:
        """Name of the study."""
        return self.spec.study.name

    def searcher(self) -> Searcher:
        """A fresh searcher as the specification names it."""
        return self.blueprint.searcher()

    def check(self, point: Mapping[str, Any]) -> Sequence[Violation]:
        """Known rules that ``point`` breaks; no trial, no write. Empty means legal.

        Raises:
            ConfigError: ``point`` is no member of the space (unknown name, value out of domain).
        """
        return self._rules.check(self.blueprint.point(point))

    def size(self) -> float:
        """Number of distinct points of the outer space (``inf`` with a real parameter)."""
        return space_size(self.params)

    def suggest(self, point: Mapping[str, Any], reason: str = "", by: str = "user") -> None:
        """Queue a point before the searcher's.

        Raises:
            ConfigError: it is no member of the space or breaks a known rule.
        """
        legal = self.blueprint.point(point)
        broken = self._rules.check(legal)
        if broken:
            raise ConfigError("; ".join(v.detail for v in broken), path="point")
        queued = Queued(legal, Origin("user", by, reason))
        self._queue.append(queued)
        if self._session is not None:
            self._session.driver.proposals.queue.append(queued)

    def run(
        self,
        *,
        trials: int | None = None,
        timeout_s: float | None = None,
        runner: Runner | str | Mapping[str, Any] | None = None,
        callbacks: Sequence[Callable[[Trial], None]] = (),
        watcher: Watcher | None = None,
        accept_change: bool = False,
    ) -> Snapshot:
        """Run until a budget is spent; goes on where an earlier run of this directory stopped.

        Args:
            trials: total number of trials (default: the specification's).
            timeout_s: seconds for this call.
            runner: a runner, its name, or a mapping with name and options.
            callbacks: called with each stored trial.
            watcher: sees everything that happens.
            accept_change: go on although the specification differs from the stored one.

        Raises:
            StoreError: the directory is in use or holds another study; disk or database fail.
            TooManyFailures: ``max_failures`` trials failed in a row.
            KeyboardInterrupt: on a second Ctrl-C; the first ends the run in order.
        """
        with self._open(watcher or Silent(), callbacks, accept_change) as session:
            driver = session.driver
            driver.limit(trials, timeout_s)
            if driver.done < driver.budget.trials and not driver.should_stop():
                with interruptible(driver):
                    session.prepare(self.components, self.spec.study)
                    if not driver.should_stop():
                        self.blueprint.runner(runner).drain(driver, self.blueprint.worker())
            driver.raise_if_broken()
            if not driver.should_stop():
                session.test(self.components, self.objectives)
            self.last_stop, self.last_end = driver.stop_reason, driver.end_reason
            self.interrupted = driver.interrupted
            return session.store.snapshot()

    last_stop: str = ""  # why the last run stopped early; empty if it ran to its end
    last_end: str = ""  # why it ended below its number of trials without being stopped
    interrupted: bool = False  # whether the last run was ended by Ctrl-C

    def evaluate(
        self,
        point: Mapping[str, Any],
        up_to: str | None = None,
        *,
        origin: Origin | None = None,
        stop: Callable[[], bool] = lambda: False,
    ) -> Trial:
        """Run one recorded trial here and now, up to a rung (default: the top).

        Args:
            point: value of every active parameter.
            up_to: name of the last rung to climb.
            origin: who asked for it and why; a user by default.
            stop: asked now and then while the trial runs; True ends it as interrupted.

        Raises:
            ConfigError: the point is no member of the space, or there is no such rung.
        """
        legal = self.blueprint.point(point)
        names = [r.fidelity.name for r in self.components.ladder.rungs]
        if up_to is not None and up_to not in names:
            raise ConfigError(f"no rung {up_to!r} (known: {', '.join(names)})", path="up_to")
        with self.opened():
            session = self._session
            if session is None or self._execute is None:
                raise StoreError(f"{self.path}: the study is not open")
            queued = Queued(legal, origin or Origin("user", "evaluate"))
            job = dataclasses.replace(session.driver.start_point(queued), up_to=up_to)
            try:
                outcome = self._execute(job, lambda kind, data: None, stop)
            except KeyboardInterrupt:
                # The trial must not stay open: the session may go on after the interrupt.
                notes = {"interrupted": True}
                outcome = Outcome(job.number, "crashed", error="interrupted", notes=notes)
                session.driver.report(outcome)
                raise
            session.driver.report(outcome)
            if session.driver.fatal is not None:
                raise session.driver.fatal
            return session.store.trial(job.number)

    @contextlib.contextmanager
    def opened(self) -> Iterator[None]:
        """Hold the run directory for a while: calls of :meth:`evaluate` within share its objects
        and what these have cached.

        Raises:
            StoreError: the directory is in use or holds another study.
        """
        if self._execute is not None:
            yield
            return
        with self._open(Silent(), (), False) as session:
            session.prepare(self.components, self.spec.study)
            self._execute = self.blueprint.worker().build()
            try:
                yield
            finally:
                self._execute = None

    def ask(self) -> Job | None:
        """The next trial to run by hand; None when the budget is spent. Pair with :meth:`tell`."""
        session = self._session
        if session is None:
            self._stack = contextlib.ExitStack()
            session = self._stack.enter_context(self._open(Silent(), (), False))
        job = session.driver.next()
        session.driver.raise_if_broken()
        return job

    def tell(
        self,
        job: Job | int,
        values: Mapping[str, float] | None = None,
        *,
        evidence: Evidence = "measured",
        error: str = "",
    ) -> Trial:
        """Store the result of a trial got from :meth:`ask`: metric name -> value in its unit.

        Raises:
            ConfigError: a value is missing or belongs to no metric; no such running trial.
        """
        number = job if isinstance(job, int) else job.number
        if self._session is None or number not in self._session.driver.running:
            raise ConfigError(f"trial {number} is not running; ask for it first", path="tell")
        outcome = Outcome(number, "failed", error=error or "told without values")
        if values is not None:
            outcome = told(number, values, evidence, self.components)
        self._session.driver.report(outcome)
        self._session.driver.raise_if_broken()
        return self._session.store.trial(number)

    def close(self) -> None:
        """End an ask-and-tell session; :meth:`run` and :meth:`evaluate` close by themselves."""
        self._stack.close()

    def snapshot(self) -> Snapshot:
        """The stored study frozen for reading."""
        if self._session is not None:
            return self._session.store.snapshot()
        return Study.read(self.path, self.spec.study.storage)

    def arms(self) -> list[Study]:
        """The baselines, each a study of its own below ``baselines/``.

        Raises:
            ConfigError, PluginError: one is wrong.
        """
        return [self._arm(name) for name in self.spec.baselines]

    def _arm(self, name: str) -> Study:
        spec, path = self.spec.arm(name), self.path / "baselines" / name
        try:
            return Study.from_spec(spec, plugins=self.blueprint.plugins, path=path, arm=name)
        except PlacedError as error:
            raise error.within(f"baselines.{name}") from error

    @contextlib.contextmanager
    def _open(
        self, watcher: Watcher, callbacks: Sequence[Callable[[Trial], None]], accept_change: bool
    ) -> Iterator[Session]:
        """The open session, or a new one that ends with the block."""
        if self._session is not None:
            yield self._session
            return
        searcher = self.searcher()
        rules = self._rules
        proposals = Proposals(
            searcher, self.params, rules.check, rules.repair, self.spec.study.seed
        )
        proposals.queue.extend(self._queue)
        with open_session(
            self.path,
            self.spec,
            self.blueprint.meta(),
            proposals,
            watcher=watcher,
            callbacks=callbacks,
            accept_change=accept_change,
        ) as session:
            self._session = session
            try:
                yield session
            finally:
                self._session = None
