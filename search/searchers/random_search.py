"""Random search: the yardstick every other searcher has to beat."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import Field

from search.api.domain import Point, Value, Vector, is_active, point_digest
from search.api.searching import Problem
from search.api.trial import Trial
from search.searchers.moves import settle, stream
from search.searchers.options import SearcherConfig
from search.searchers.vectors import stratified


class RandomConfig(SearcherConfig):
    """Options of :class:`RandomSearch`."""

    vectors: Literal["uniform", "stratified"] = Field(
        "uniform",
        description="uniform: every entry on its own, so nearly all vectors are half dense; "
        "stratified: the density is drawn first, so that sparse and dense are equally likely.",
    )


class RandomSearch:
    """Points drawn uniformly, without repeats, and moved to legal ones.

    Args:
        problem: what is searched.
        config: options; keyword arguments in a notebook.

    Raises:
        ConfigError: an unknown option or a bad value.
    """

    Config = RandomConfig
    name = "random"

    def __init__(
        self, problem: Problem, config: RandomConfig | None = None, **options: Any
    ) -> None:
        self._problem, self._config = problem, config or RandomConfig.of(options)
        self._seen: set[str] = set()

    @classmethod
    def from_config(cls, config: RandomConfig, problem: Problem) -> RandomSearch:
        """The searcher that a configuration describes."""
        return cls(problem, config)

    @property
    def reason(self) -> str:
        """Why this searcher, one line."""
        drawn = {
            "uniform": "uniform draws",
            "stratified": "uniform draws, density of vectors drawn first",
        }
        return f"{drawn[self._config.vectors]}, nothing learnt: a baseline"

    def suggest(self, number: int, attempt: int) -> Point | None:
        """A random point; None once a small space is used up."""
        rng = stream(self._problem.seed, number, attempt, "random")
        point: dict[str, Value] = {}
        for param in self._problem.params:
            if not is_active(param, point):
                continue
            if isinstance(param.domain, Vector) and self._config.vectors == "stratified":
                point[param.name] = stratified(param.domain, rng.random(), rng)
            else:
                point[param.name] = param.domain.sample(rng)
        return settle(self._problem, point, self._seen, rng)

    def start(self, number: int, point: Point) -> None:
        """Trial ``number`` runs with ``point``."""
        self._seen.add(point_digest(point))

    def finish(self, trial: Trial) -> Mapping[str, Any]:
        """Nothing is learnt."""
        return {}

    def replay(self, trials: Sequence[Trial]) -> None:
        """Take over earlier trials, so that none is repeated."""
        for trial in trials:
            self.start(trial.number, trial.point)
