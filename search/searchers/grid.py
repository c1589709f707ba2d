"""Grid search: every point of a finite space exactly once, in order."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import Field

from search.api.domain import (
    Integer,
    Param,
    Point,
    Real,
    Scalar,
    Value,
    Vector,
    is_active,
    point_digest,
)
from search.api.errors import ConfigError
from search.api.searching import Problem
from search.api.trial import Trial
from search.searchers.moves import every_point, from_unit
from search.searchers.options import SearcherConfig

LARGEST = 1_000_000
"""Most points of a grid; more is a mistake, and would take minutes just to list."""


class GridConfig(SearcherConfig):
    """Options of :class:`Grid`."""

    resolution: dict[str, int] = Field(
        default_factory=dict,
        description="Number of evenly spaced values (on the parameter's scale) for each named real "
        "or integer parameter; integers without one are listed in full.",
    )


class Grid:
    """Exhaustive search; conditional parameters are crossed only where they are active.

    Args:
        problem: what is searched.
        config: options; keyword arguments in a notebook.

    Raises:
        ConfigError: an unknown option; a resolution for a parameter that takes none; a real
            parameter without one; or more points than :data:`LARGEST`.
    """

    Config = GridConfig
    name = "grid"

    def __init__(self, problem: Problem, config: GridConfig | None = None, **options: Any) -> None:
        config = config or GridConfig.of(options)
        self._problem = problem
        self._values = _listed(problem.params, config.resolution)
        self.size = _size(problem.params, self._values)
        self._points: Iterator[Point] = every_point(problem.params, self._values)
        self._waiting: list[Point] = []
        self._seen: set[str] = set()

    @classmethod
    def from_config(cls, config: GridConfig, problem: Problem) -> Grid:
        """The searcher that a configuration describes."""
        return cls(problem, config)

    @property
    def reason(self) -> str:
        """Why this searcher, one line."""
        return f"every point of the grid once ({self.size} points before known rules)"

    def suggest(self, number: int, attempt: int) -> Point | None:
        """The first legal point that has not run, skipping one per refusal; None at the end."""
        while len(self._waiting) <= attempt:
            point = next(self._points, None)
            if point is None:
                return None
            if point_digest(point) not in self._seen and not self._problem.check(point):
                self._waiting.append(point)
        return self._waiting[attempt]

    def start(self, number: int, point: Point) -> None:
        """Trial ``number`` runs with ``point``; it is never proposed again."""
        digest = point_digest(point)
        self._seen.add(digest)
        self._waiting = [p for p in self._waiting if point_digest(p) != digest]

    def finish(self, trial: Trial) -> Mapping[str, Any]:
        """Nothing is learnt."""
        return {}

    def replay(self, trials: Sequence[Trial]) -> None:
        """Take over earlier trials, so that none is repeated."""
        for trial in trials:
            self.start(trial.number, trial.point)


def _listed(params: Sequence[Param], resolution: Mapping[str, int]) -> dict[str, list[Value]]:
    """Values of the parameters that have a resolution."""
    known = {p.name: p.domain for p in params}
    takers = [n for n, d in known.items() if isinstance(d, (Real, Integer))]
    listed: dict[str, list[Value]] = {}
    for name, count in resolution.items():
        path = f"searcher.resolution.{name}"
        domain = known.get(name)
        if not isinstance(domain, (Real, Integer)):
            raise ConfigError(
                f"only real and integer parameters have a resolution (known: "
                f"{', '.join(takers) or 'none'})",
                path=path,
            )
        if count < 1:
            raise ConfigError(f"expected at least 1 value (got {count})", path=path)
        listed[name] = list(_spaced(domain, count))
    for name, domain in known.items():
        element = domain.element if isinstance(domain, Vector) else domain
        if name not in listed and math.isinf(element.size):
            raise ConfigError(
                f"{name} is {domain.describe()}: a grid over it has endless points. "
                + (
                    "Use evolution or random"
                    if isinstance(domain, Vector)
                    else f"Give searcher.resolution.{name}, a number of values"
                ),
                path="searcher",
            )
    return listed


def _spaced(domain: Real | Integer, count: int) -> list[Scalar]:
    """``count`` values evenly spaced on the scale of ``domain``, both ends included."""
    units = [i / (count - 1) for i in range(count)] if count > 1 else [0.5]
    return list(dict.fromkeys(from_unit(domain, unit) for unit in units))


def _size(params: Sequence[Param], listed: Mapping[str, Sequence[Value]]) -> int:
    """Number of points, conditions respected.

    Raises:
        ConfigError: more than :data:`LARGEST`.
    """
    everywhere = [p for p in params if not p.when]
    counted = math.prod(
        float(len(listed[p.name])) if p.name in listed else p.domain.size for p in everywhere
    )
    if counted <= LARGEST and len(everywhere) < len(params):
        counted = _count(params, listed)
    if counted > LARGEST:
        digits = f"{counted:.3g}" if math.isfinite(counted) else "more than 1e308"
        raise ConfigError(
            f"the grid has {digits} points (at most {LARGEST}). "
            "Lower searcher.resolution, or use evolution or random",
            path="searcher",
        )
    return int(counted)


def _count(params: Sequence[Param], listed: Mapping[str, Sequence[Value]]) -> float:
    """Number of points, walking only through parameters that conditions name."""
    named = {name for p in params for name in p.when}

    def walk(index: int, point: dict[str, Value]) -> float:
        total = 1.0
        for i in range(index, len(params)):
            param = params[i]
            if not is_active(param, point):
                continue
            values = listed.get(param.name)
            if param.name not in named:
                total *= len(values) if values is not None else param.domain.size
                continue
            options = every_point([Param(param.name, param.domain)], listed)
            return total * sum(walk(i + 1, {**point, **option}) for option in options)
        return total

    return walk(0, {})
