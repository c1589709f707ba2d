"""Simulated annealing: one chain of small steps that cools down over the budget of trials.

In the spirit of AutoCompress, which anneals the pruning ratios of all layers at once: a step moves
every entry a little, the further the hotter, and a worse result is accepted with probability
exp(-dE/T). What a temperature means depends on the scale of E: with accuracies in [0, 1] and
temperatures of 20 to 100 every step is accepted, and the search is a random walk. Here dE is
counted in units of the spread of the values seen, or of what ``scale`` says: at T = 0.1 a step that
loses a tenth of the spread is accepted one time in three.

Source: Liu et al., AutoCompress, AAAI 2020 (step size 0.35 T/T0). Its ordering of ratios by
    layer size needs more than a problem tells: that, and any budget, is the space's ``repair``.
"""

from __future__ import annotations

import math
import random
from typing import Any

import numpy as np
from pydantic import Field, model_validator

from search.api.domain import Choice, Domain, Point, Real, Scalar, ScalarDomain, Value, Vector
from search.api.searching import Problem
from search.searchers.history import Member
from search.searchers.learner import Learner
from search.searchers.moves import (
    complete,
    domain_values,
    from_unit,
    mutate,
    mutate_value,
    reflect,
    stream,
    to_unit,
)
from search.searchers.options import SearcherConfig
from search.searchers.scoring import Scoring, weights_of
from search.searchers.slots import nearest

_SCALARS = 0.1
"""Least step of scalars: they are few, and a category must not freeze beside a long vector."""
_GRID = 64
"""Ordered domains with at most so many values are walked step by step."""


class AnnealingConfig(SearcherConfig):
    """Options of :class:`Annealing`."""

    hot: float = Field(
        0.1,
        gt=0,
        description="First temperature, in units of `scale`: 1 percentage point where accuracies "
        "spread over 10.",
    )
    cold: float = Field(0.01, gt=0, description="Temperature of the last trial.")
    scale: float | None = Field(
        None,
        gt=0,
        description="Difference of the objective that counts as 1, in its unit, for instance 1 "
        "percentage point; by default the interquartile range of the feasible values seen.",
    )
    perturbation: float = Field(
        0.35,
        gt=0,
        le=1,
        description="Largest step at the first temperature, as a share of a domain's range; "
        "categories change with this probability.",
    )
    least: float = Field(
        0.05, gt=0, le=1, description="Below this share of a range steps do not shrink."
    )
    initial: int | None = Field(
        None, ge=1, description="Random trials to start from the best of; a tenth by default."
    )

    @model_validator(mode="after")
    def _cools(self) -> AnnealingConfig:
        if self.cold > self.hot:
            raise ValueError(f"cold must not exceed hot (got {self.cold} and {self.hot})")
        return self


class Annealing(Learner):
    """Simulated annealing of mixed spaces and vectors.

    A feasible trial always replaces an infeasible one, of two infeasible ones the one with less
    excess stays. With several trials in flight each starts from the chain's state when it was
    proposed, and is compared with the state when it ends. With several objectives dE is a mean
    weighted by weights drawn for each trial, so that the chain drifts along the front.

    Args:
        problem: what is searched; the temperature falls over ``problem.trials``.
        config: options; keyword arguments in a notebook.

    Raises:
        ConfigError: an unknown option or a bad value.
    """

    Config = AnnealingConfig
    name = "annealing"

    def __init__(
        self, problem: Problem, config: AnnealingConfig | None = None, **options: Any
    ) -> None:
        super().__init__(problem)
        self._config = config or AnnealingConfig.of(options)
        self._initial = self._config.initial or max(1, min(20, self._horizon // 10))
        self._scoring = Scoring(problem, self._history)
        self._current: Member | None = None

    @classmethod
    def from_config(cls, config: AnnealingConfig, problem: Problem) -> Annealing:
        """The searcher that a configuration describes."""
        return cls(problem, config)

    @property
    def reason(self) -> str:
        """Why this searcher, one line."""
        c = self._config
        unit = f"{c.scale:g}" if c.scale else "the spread of the values seen"
        several = ", random weights per trial" if len(self._problem.goals) > 1 else ""
        return (
            f"one chain cooled from {c.hot:g} to {c.cold:g} (in units of {unit}) over "
            f"{self._horizon} trials, steps shrinking with it{several}"
        )

    def temperature(self, number: int) -> float:
        """Temperature of trial ``number``: falls geometrically, and stays at the coldest."""
        last = max(1, self._horizon - 1 - self._initial)
        share = min(1.0, max(0.0, (number - self._initial) / last))
        return float(self._config.hot * (self._config.cold / self._config.hot) ** share)

    def _propose(self, number: int, attempt: int, rng: random.Random) -> Point:
        if self._current is None or number < self._initial:
            return self._random(number + 97 * attempt, rng)
        c = self._config
        reach = max(c.least, c.perturbation * self.temperature(number) / c.hot)
        return self._step(self._current.point, reach, rng)

    def _learn(self, member: Member) -> None:
        current = self._current
        if current is None or self._accepts(current, member):
            self._current = member

    def _accepts(self, current: Member, new: Member) -> bool:
        if current.losses is None or new.losses is None or not (current.feasible and new.feasible):
            return self._scoring.better(new, current)
        unit = self._scoring.spread() if self._config.scale is None else self._config.scale
        rise = (np.array(new.losses) - np.array(current.losses)) / unit
        worse = float(weights_of(self._problem, new.number) @ rise)
        if worse <= 0:
            return True
        if new.number < self._initial:
            return False  # the chain starts at the best of the random ones
        chance = math.exp(-worse / self.temperature(new.number))
        return stream(self._problem.seed, new.number, 0, "accept").random() < chance

    def _step(self, point: Point, reach: float, rng: random.Random) -> Point:
        """``point`` with everything moved by up to ``reach``; if nothing was, with one change."""
        movable = [p for p in self._problem.params if p.name in point and p.domain.size > 1]
        values = dict(point)
        for param in movable:
            values[param.name] = _moved(param.domain, point[param.name], reach, rng)
        if movable and all(values[p.name] == point[p.name] for p in movable):
            param = rng.choice(movable)
            values[param.name] = mutate_value(param.domain, point[param.name], rng)
        return complete(self._problem.params, values, rng)


def _moved(domain: Domain, value: Value, reach: float, rng: random.Random) -> Value:
    if isinstance(domain, Vector):
        entries = value if isinstance(value, tuple) else ()
        return tuple(_near(domain.element, entry, reach, rng) for entry in entries)
    return value if isinstance(value, tuple) else _near(domain, value, max(reach, _SCALARS), rng)


def _near(domain: ScalarDomain, value: Scalar, reach: float, rng: random.Random) -> Scalar:
    """``value`` moved by a uniform step of at most ``reach`` of the range, reflected at its ends.

    Steps on a short grid are rounded at random, so that small ones still happen sometimes.
    """
    if domain.size <= 1:
        return value
    if isinstance(domain, Choice):
        return mutate(domain, value, rng) if rng.random() < reach else value
    step = rng.uniform(-reach, reach)
    if isinstance(domain, Real) or domain.size > _GRID:
        return from_unit(domain, reflect(to_unit(domain, value) + step))
    options = [v for v in domain_values(domain) if not isinstance(v, tuple)]
    last = len(options) - 1
    at = nearest(domain, options, value) + math.floor(step * last + rng.random())
    at = -at if at < 0 else at
    return options[max(0, 2 * last - at if at > last else at)]
