"""Evolution: mixed spaces and long vectors at a cost per proposal linear in their length.

NSGA-II's constrained ranking over a steady-state population, mutation by kind of parameter, and
for vectors what :mod:`search.searchers.vectors` adds: stratified densities at first, then entries
chosen by a linear model and filled up to the known limits.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import Field

from search.api.domain import Param, Point, Value, Vector, sample_point
from search.api.searching import Problem
from search.api.trial import Trial
from search.searchers.history import History, Member
from search.searchers.moves import complete, mutate, settle, stream
from search.searchers.options import SearcherConfig
from search.searchers.vectors import VectorProposals


class EvolutionConfig(SearcherConfig):
    """Options of :class:`Evolution`."""

    population: int | None = Field(
        None, ge=4, description="Trials kept as parents; 20 per objective, at most 60, by default."
    )
    initial: int | None = Field(
        None, ge=1, description="Trials before breeding starts; by default a fifth, at most 16."
    )
    crossover: float = Field(
        0.5, ge=0, le=1, description="Probability that scalars mix those of two parents."
    )
    build: float = Field(
        0.8,
        ge=0,
        le=1,
        description="Share of vector proposals built from the model of entry worths.",
    )


class Evolution:
    """Our own evolutionary search for mixed spaces and vectors.

    Args:
        problem: what is searched.
        config: options; keyword arguments in a notebook.

    Raises:
        ConfigError: an unknown option or a bad value.
    """

    Config = EvolutionConfig
    name = "evolution"

    def __init__(
        self, problem: Problem, config: EvolutionConfig | None = None, **options: Any
    ) -> None:
        config = config or EvolutionConfig.of(options)
        self._problem, self._config = problem, config
        self._scalars = [p for p in problem.params if not isinstance(p.domain, Vector)]
        self._history = History(problem, config.population or min(60, 20 * len(problem.goals)))
        initial = config.initial or max(4, min(16, (problem.trials or 80) // 5))
        self._vectors = VectorProposals(problem, self._history, initial, config.build)

    @classmethod
    def from_config(cls, config: EvolutionConfig, problem: Problem) -> Evolution:
        """The searcher that a configuration describes."""
        return cls(problem, config)

    @property
    def reason(self) -> str:
        """Why this searcher, one line."""
        vectors = self._vectors.names
        how = f", vectors {', '.join(vectors)} bred and repaired whole" if vectors else ""
        return f"constrained NSGA-II ranking, mutation by kind of parameter{how}"

    def suggest(self, number: int, attempt: int) -> Point | None:
        """A child of two good trials; a stratified random point at first or when refused often."""
        rng = stream(self._problem.seed, number, attempt, "evolution")
        if self._vectors.warm and attempt < 6:
            parents = self._vectors.parents(rng)
            point = self._vectors.propose(self._cross(parents, rng), number, parents, rng)
        else:
            scalars = sample_point(self._scalars, rng)
            point = self._vectors.propose(scalars, number + 97 * attempt, (), rng)
        return settle(self._problem, point, self._history.seen, rng)

    def start(self, number: int, point: Point) -> None:
        """Trial ``number`` runs with ``point``."""
        self._history.start(number, point)

    def finish(self, trial: Trial) -> Mapping[str, Any]:
        """Learn from an ended trial; nothing needs to be remembered beside it."""
        self._vectors.learn(self._history.finish(trial))
        return {}

    def replay(self, trials: Sequence[Trial]) -> None:
        """Take over earlier trials."""
        for trial in trials:
            self.start(trial.number, trial.point)
            if trial.status != "running":
                self.finish(trial)

    def _cross(self, parents: Sequence[Member], rng: random.Random) -> Point:
        """Scalars of the parents, mixed and mutated; without vectors at least one changes."""
        first, second = parents[0].point, parents[-1].point
        mix = rng.random() < self._config.crossover
        values: dict[str, Value] = {}
        for param in self._scalars:
            source = second if mix and param.name in second and rng.random() < 0.5 else first
            if param.name in source:
                values[param.name] = source[param.name]
        movable = [p for p in self._scalars if p.name in values and p.domain.size > 1]
        share = 1.0 / max(1, len(movable))
        chosen = [p for p in movable if rng.random() < share]
        if movable and not chosen and not self._vectors.names:
            chosen = [rng.choice(movable)]
        for param in chosen:
            values[param.name] = _mutated(param, values[param.name], rng)
        return complete(self._scalars, values, rng)


def _mutated(param: Param, value: Value, rng: random.Random) -> Value:
    if isinstance(param.domain, Vector) or isinstance(value, tuple):
        return value
    return mutate(param.domain, value, rng)
