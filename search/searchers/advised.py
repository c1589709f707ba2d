"""Advised search: an advisor's points and a sampler's, mixed in one history.

The advisor is a heuristic or an agent that reasons about the study; the sampler keeps exploring
whatever the advisor overlooks. Both see every trial, so they can be compared at equal budget by
who proposed what.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import Field

from search import registry
from search.api.candidate import Violation
from search.api.domain import Point, point_digest
from search.api.errors import ConfigError
from search.api.searching import Advisor, Problem, Searcher
from search.api.trial import Origin, Trial
from search.config import Plugin, PluginRef, plugin_options
from search.searchers.options import SearcherConfig


class AdvisedConfig(SearcherConfig):
    """Options of :class:`Advised`."""

    advisor: PluginRef = Field(description="Advisor: a name, or a mapping with name and options.")
    share: float = Field(0.5, ge=0, le=1, description="Share of the trials the advisor is asked.")
    fallback: PluginRef = Field(
        Plugin(name="auto"), description="Searcher for the rest, and where the advisor is silent."
    )


@dataclass
class _View:
    """What advisors see: the trials so far, running ones included, and the rules."""

    problem: Problem
    known: dict[int, Trial] = field(default_factory=dict)

    def trials(self) -> Sequence[Trial]:
        """All trials in order of number."""
        return [self.known[number] for number in sorted(self.known)]

    def check(self, point: Point) -> Sequence[Violation]:
        """Rules that ``point`` breaks."""
        return self.problem.check(point)


class Advised:
    """Asks an advisor for its share of the trials and a sampler for the others.

    Args:
        problem: what is searched; a study must stand behind it.
        config: options; keyword arguments in a notebook.

    Raises:
        ConfigError: a bad option, no such advisor or searcher, or a fallback that is advised too.
    """

    Config = AdvisedConfig

    def __init__(
        self, problem: Problem, config: AdvisedConfig | None = None, **options: Any
    ) -> None:
        self._problem, self._config = problem, config or AdvisedConfig.of(options)
        if problem.advisor is None:
            raise ConfigError("advised needs a study behind it (got a bare problem)")
        if self._config.fallback.name == "advised":
            raise ConfigError("the fallback must be another searcher", path="fallback")
        advisor = self._config.advisor
        self._advisor: Advisor = problem.advisor(advisor.name, advisor.options)
        fallback = self._config.fallback
        checked = plugin_options("searcher", fallback, "searcher.fallback")
        made: Searcher = registry.load("searcher", fallback.name).from_config(checked, problem)
        self._fallback = made
        self._view = _View(problem)
        self._origins: dict[tuple[int, int], Origin] = {}

    @classmethod
    def from_config(cls, config: AdvisedConfig, problem: Problem) -> Advised:
        """The searcher that a configuration describes."""
        return cls(problem, config)

    @property
    def name(self) -> str:
        """Name for reports, with those of advisor and sampler."""
        return f"advised ({self._config.advisor.name}, {self._fallback.name})"

    @property
    def reason(self) -> str:
        """Who proposes what."""
        share = f"{100 * self._config.share:g} %"
        return (
            f"{self._config.advisor.name} is asked for {share} of the trials; the rest, and where "
            f"it is silent, is {self._fallback.name}: {self._fallback.reason}"
        )

    def suggest(self, number: int, attempt: int) -> Point | None:
        """The advisor's point if it is its turn and it has a new one, else the sampler's."""
        if attempt == 0 and self._is_advisors(number):
            advice = self._advisor.advise(self._view)
            known = {point_digest(t.point) for t in self._view.trials()}
            if advice is not None and point_digest(advice.point) not in known:
                self._origins[number, attempt] = advice.origin
                return advice.point
        return self._fallback.suggest(number, attempt)

    def origin(self, number: int, attempt: int) -> Origin | None:
        """Who proposed the last answer; None for the sampler."""
        found = self._origins.get((number, attempt))
        return found or Origin("sampler", self._fallback.name)

    def start(self, number: int, point: Point) -> None:
        """Trial ``number`` runs with ``point``."""
        self._view.known[number] = Trial(number, point, 0, Origin("sampler"), "running")
        self._fallback.start(number, point)

    def finish(self, trial: Trial) -> Mapping[str, Any]:
        """Both learn from it; the memory is the sampler's."""
        self._view.known[trial.number] = trial
        return self._fallback.finish(trial)

    def replay(self, trials: Sequence[Trial]) -> None:
        """Take over earlier trials."""
        self._view.known.update({trial.number: trial for trial in trials})
        self._fallback.replay(trials)

    def _is_advisors(self, number: int) -> bool:
        """Turns are spread evenly, the first one first."""
        share = self._config.share
        return math.ceil((number + 1) * share) > math.ceil(number * share)
