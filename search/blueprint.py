"""The blueprint of a study: specification and objects together, and all that follows from them.

Everything here is a pure function of the two: the problem a searcher is told, the searcher, the
worker, the runner, and what the store writes down as the study's identity.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from search import registry
from search.api.domain import Param, Point, point_from_json
from search.api.errors import ConfigError
from search.api.metric import Metric
from search.api.protocols import Runner, Synthesises, WorkerSpec
from search.api.searching import Advisor, Problem, Searcher
from search.assemble import Components
from search.config import Plugin, StudySpec, plugin_options
from search.driver import legal_point_error
from search.known_rules import Rules
from search.stored import Meta
from search.worker import LiveWorker, SpecWorker


@dataclass(frozen=True)
class Blueprint:
    """What a study is made of.

    Args:
        spec: the checked specification.
        components: the live objects.
        path: run directory.
        arm: ``main`` or the name of a baseline.
        live: made of objects that no specification can rebuild.
        plugins: files given with ``--plugin``, as absolute paths.
    """

    spec: StudySpec
    components: Components
    path: Path
    arm: str = "main"
    live: bool = False
    plugins: tuple[str, ...] = ()

    @property
    def params(self) -> tuple[Param, ...]:
        """Outer parameters, narrowed as the specification says."""
        return self.components.params()

    @property
    def rules(self) -> Rules:
        """Known constraints."""
        ladder = self.components.ladder
        return Rules(self.params, ladder.space, ladder.method, self.spec.known)

    @property
    def objectives(self) -> tuple[Metric, ...]:
        """The objectives' metrics, in order."""
        metrics = self.components.metrics()
        return tuple(metrics[name] for name in self.components.objectives)

    def problem(self) -> Problem:
        """What a searcher is told about this study."""
        ladder, rules = self.components.ladder, self.rules
        space: object = None if ladder.method.decides_space else ladder.space
        return Problem(
            params=self.params,
            goals=tuple(m.goal for m in self.objectives),
            constraints=tuple(str(c) for c in ladder.constraints),
            trials=self.spec.budget.trials,
            seed=self.spec.study.seed,
            check=rules.check,
            repair=rules.repair,
            gated=any(rung.gates for rung in ladder.rungs),
            synthesise=space.synthesise if isinstance(space, Synthesises) else None,
            advisor=self.advisor,
        )

    def advisor(self, name: str, options: Mapping[str, Any]) -> Advisor:
        """The advisor called ``name`` for this study.

        Raises:
            ConfigError: unknown name, an option that does not fit, or a study it cannot advise.
        """
        plugin = Plugin(name=name, options=dict(options))
        config = plugin_options("advisor", plugin, "searcher.advisor")
        made: Advisor = registry.load("advisor", name).from_config(config, self)
        return made

    def searcher(self) -> Searcher:
        """A fresh searcher as the specification names it.

        Raises:
            ConfigError: its options do not fit the space.
        """
        options = plugin_options("searcher", self.spec.searcher, "searcher")
        made: Searcher = registry.load("searcher", self.spec.searcher.name).from_config(
            options, self.problem()
        )
        return made

    def point(self, data: Mapping[str, Any]) -> Point:
        """``data`` as a point of the outer space.

        Raises:
            ConfigError: it is no member of the space.
        """
        try:
            point = point_from_json(data)
        except ValueError as error:
            raise ConfigError(str(error), path="point") from None
        problem = legal_point_error(self.params, point)
        if problem:
            raise ConfigError(problem, path="point")
        return point

    def worker(self) -> WorkerSpec:
        """The recipe that workers build their ladder from."""
        scratch = str((self.path / "work").resolve())
        threads = self.spec.study.threads
        if self.live:
            return LiveWorker(self.components, self.spec.study.name, threads, scratch)
        return SpecWorker(self.spec, self.plugins, scratch)

    def runner(self, runner: Runner | str | Mapping[str, Any] | None) -> Runner:
        """A runner: the given one, the one of that name, or the specification's.

        Raises:
            ConfigError: unknown name or option.
        """
        if runner is not None and not isinstance(runner, (str, Mapping)):
            return runner
        section = self.spec.runner if runner is None else Plugin.model_validate(Plugin.read(runner))
        options = plugin_options("runner", section, "runner")
        made: Runner = registry.load("runner", section.name).from_config(options, None)
        return made

    def meta(self) -> Meta:
        """The study's identity, as the store writes it down."""
        ladder = self.components.ladder
        spec = self.spec.model_dump(mode="json")
        if self.live:
            spec["live"] = True
        return Meta(
            study=self.spec.study.name,
            arm=self.arm,
            digest=self.spec.digest,
            spec=spec,
            objectives=self.objectives,
            constraints=tuple(ladder.constraints),
            params=self.params,
            metrics=self.components.metrics(),
            sites=self.components.sites(),
            searcher=self.spec.searcher.name,
        )
