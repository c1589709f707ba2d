"""Direct synthesis: what the space itself proposes, mended after each failure, until it holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from search.api.domain import Point, point_digest
from search.api.errors import ConfigError
from search.api.searching import Problem
from search.api.trial import Origin, Trial
from search.searchers.options import SearcherConfig


class DirectSynthesisConfig(SearcherConfig):
    """Direct synthesis has no options: targets are constraints of the study, or of the space."""


class DirectSynthesis:
    """Asks the space for the point its rules imply, and again after each failure.

    It stops at the first point that violates nothing: a baseline, and a start for other searchers.

    Args:
        problem: what is searched; its space must be able to synthesise.
        config: empty; here for symmetry.

    Raises:
        ConfigError: the space cannot synthesise, or an option was given.
    """

    Config = DirectSynthesisConfig
    name = "direct_synthesis"

    def __init__(
        self, problem: Problem, config: DirectSynthesisConfig | None = None, **options: Any
    ) -> None:
        if config is None:
            DirectSynthesisConfig.of(options)
        if problem.synthesise is None:
            raise ConfigError(
                "direct_synthesis needs a space that proposes points by itself, such as ckks "
                "(this one cannot). Use auto or random",
                path="searcher",
            )
        self._synthesise, self._constraints = problem.synthesise, problem.constraints
        self._trials: dict[int, Trial] = {}

    @classmethod
    def from_config(cls, config: DirectSynthesisConfig, problem: Problem) -> DirectSynthesis:
        """The searcher that a configuration describes."""
        return cls(problem, config)

    @property
    def reason(self) -> str:
        """Why this searcher, one line."""
        return "the point that the space's rules imply, mended only where it failed"

    def suggest(self, number: int, attempt: int) -> Point | None:
        """The space's next point; None while it runs, once one holds, or when it is refused."""
        if attempt:
            return None  # it would be the same point again
        trials = [self._trials[n] for n in sorted(self._trials)]
        point = self._synthesise(trials, self._constraints)
        known = {point_digest(trial.point) for trial in trials}
        return None if point is None or point_digest(point) in known else point

    def start(self, number: int, point: Point) -> None:
        """Trial ``number`` runs with ``point``."""
        self._trials[number] = Trial(number, point, 0, Origin("sampler"), "running")

    def finish(self, trial: Trial) -> Mapping[str, Any]:
        """How it went decides what is mended."""
        self._trials[trial.number] = trial
        return {}

    def replay(self, trials: Sequence[Trial]) -> None:
        """Take over earlier trials."""
        for trial in trials:
            self.finish(trial)
