"""Which ReLU to give up, by what the trials say each one costs and is worth.

A first version by rules: the effect of every ReLU on accuracy and on latency is estimated from the
finished trials by ridge regression, and in the best placements the ReLU that costs the most latency
per accuracy is swapped for the one that is worth the most, or dropped.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from agents.advisors.advice import Advice, advice
from search.api.domain import Choice, Param, Point, Scalar, Vector, point_digest
from search.api.errors import ConfigError
from search.api.metric import Metric
from search.api.searching import StudyView
from search.api.trial import Trial
from search.blueprint import Blueprint
from search.pareto import non_dominated

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

NAME = "relu_placement"
RELU = "relu"
_RIDGE = 1e-2  # of the number of trials: keeps sites that never changed at no effect
_FEW = 4  # trials below which there is nothing to estimate from


class ReluPlacementAdvisorConfig(BaseModel):
    """Options of :class:`ReluPlacementAdvisor`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    quality: str = Field("", description="Metric ReLUs are for; empty: the first to be maximised.")
    cost: str = Field("", description="Metric ReLUs cost; empty: the first to be minimised.")


@dataclass(frozen=True)
class Effects:
    """What one more ReLU at each site adds.

    Args:
        quality: in the quality's unit, [sites].
        cost: in the cost's unit, [sites].
    """

    quality: NDArray[np.float64]
    cost: NDArray[np.float64]

    def price(self, site: int, floor: float) -> float:
        """Cost per quality of the ReLU at ``site``; what is worth nothing counts ``floor``."""
        return float(self.cost[site]) / max(float(self.quality[site]), floor)


class ReluPlacementAdvisor:
    """Swaps the ReLUs with the worst latency per accuracy, by history.

    Args:
        param: the vector of choices, one a site.
        quality: metric to be large, and its index among the objectives.
        cost: metric to be small, and its index among the objectives.
    """

    Config = ReluPlacementAdvisorConfig

    def __init__(self, param: Param, quality: tuple[str, int], cost: tuple[str, int]) -> None:
        self._param, self._quality, self._cost = param, quality, cost
        options = param.domain.element.options if _places_relus(param) else ()  # type: ignore[union-attr]
        self._others = tuple(o for o in options if o != RELU)

    @classmethod
    def from_config(
        cls, config: ReluPlacementAdvisorConfig, blueprint: Blueprint
    ) -> ReluPlacementAdvisor:
        """The advisor of the study that ``blueprint`` describes.

        Raises:
            ConfigError: no vector places ReLUs, or there is no such objective.
        """
        param = next((p for p in blueprint.params if _places_relus(p)), None)
        if param is None:
            raise ConfigError(
                "relu_placement advises studies that place ReLUs layer by layer (this one has no "
                "vector with the option 'relu'). Take space relu_placement, granularity layer",
                path="searcher.advisor",
            )
        goals = blueprint.objectives
        return cls(param, _objective(config.quality, goals, "max"),
                   _objective(config.cost, goals, "min"))  # fmt: skip

    def advise(self, view: StudyView) -> Advice | None:
        """A placement near the best ones; None while there is too little to go by."""
        done = [t for t in view.trials() if t.values is not None and self._param.name in t.point]
        if len(done) < _FEW:
            return None
        effects = self._effects(done)
        seen = {point_digest(t.point) for t in view.trials()}
        for base in self._bases(done):
            for point, reason in self._moves(base, effects):
                if point_digest(point) not in seen and not view.check(point):
                    return advice(point, NAME, reason, base.number)
        return None

    def _bases(self, done: Sequence[Trial]) -> Sequence[Trial]:
        """The front, the placements with the fewest children first."""
        values = [(_value(t, self._quality), _value(t, self._cost)) for t in done]
        front = [done[index] for index in non_dominated(values, ("max", "min"))]
        children = [t.origin.parent for t in done if t.origin.by == NAME]
        return sorted(front, key=lambda t: (children.count(t.number), t.number))

    def _effects(self, done: Sequence[Trial]) -> Effects:
        """Ridge regression of both metrics on where ReLUs stand."""
        import numpy as np

        placed = np.array([[e == RELU for e in _entries(t, self._param)] for t in done], float)
        centred = placed - placed.mean(axis=0)
        gram = centred.T @ centred + _RIDGE * len(done) * np.eye(placed.shape[1])

        def slope(objective: tuple[str, int]) -> NDArray[np.float64]:
            values = np.array([_value(t, objective) for t in done])
            found: NDArray[np.float64] = np.linalg.solve(gram, centred.T @ (values - values.mean()))
            return found

        return Effects(slope(self._quality), slope(self._cost))

    def _moves(self, base: Trial, effects: Effects) -> Iterator[tuple[Point, str]]:
        """Swaps, then drops, of the ReLU with the worst price first."""
        entries = _entries(base, self._param)
        floor = 1e-3 * max(1e-9, float(abs(effects.quality).max()))
        price = {site: effects.price(site, floor) for site in range(len(entries))}
        standing = sorted((s for s, e in enumerate(entries) if e == RELU), key=lambda s: -price[s])
        missing = sorted((s for s, e in enumerate(entries) if e != RELU), key=lambda s: price[s])
        for worst in standing:
            for better in missing:
                if price[better] >= price[worst]:
                    break
                point = self._changed(base, {worst: self._others[0], better: RELU})
                yield point, f"a ReLU at site {better} is worth more than at {worst}"
        for worst in standing:
            for other in self._others:
                point = self._changed(base, {worst: other})
                yield point, f"the ReLU at site {worst} costs the most for what it is worth"

    def _changed(self, base: Trial, changes: dict[int, Scalar]) -> Point:
        entries = list(_entries(base, self._param))
        for site, operator in changes.items():
            entries[site] = operator
        return {**base.point, self._param.name: tuple(entries)}


def _places_relus(param: Param) -> bool:
    domain = param.domain
    return (
        isinstance(domain, Vector)
        and isinstance(domain.element, Choice)
        and RELU in domain.element.options
        and domain.element.size > 1
    )


def _entries(trial: Trial, param: Param) -> tuple[Scalar, ...]:
    value = trial.point[param.name]
    return value if isinstance(value, tuple) else (value,)


def _value(trial: Trial, objective: tuple[str, int]) -> float:
    return 0.0 if trial.values is None else trial.values[objective[1]]


def _objective(name: str, goals: Sequence[Metric], goal: Any) -> tuple[str, int]:
    for index, metric in enumerate(goals):
        if metric.name == name or (not name and metric.goal == goal):
            return metric.name, index
    what = f"{name!r} is no objective" if name else f"no objective is to be {goal}imised"
    raise ConfigError(
        f"{what} (objectives: {', '.join(m.name for m in goals)})", path="searcher.advisor"
    )
