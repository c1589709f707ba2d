"""What an expert looks for: a metric to make small or large, and demands with a reserve."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from agents.goals import PREDICTED_BY, Aim
from search.api.domain import Point
from search.api.metric import Metric

RESERVE: Mapping[str, float] = {"precision_ckks": 0.7, "worst_precision_ckks": 1.0}
"""Bits aimed at beyond a demand on measured precision: two standard deviations over fresh keys and
inputs (0.35 bit, measured over 10 runs of one network)."""
SHARE = 0.03
"""Share by which predicted times and memory keep below a demand on measured ones."""


@dataclass(frozen=True)
class Ranked:
    """A point that is foretold to meet every demand.

    Args:
        point: it.
        value: of what is wanted, foretold.
        values: all that is foretold.
    """

    point: Point
    value: float
    values: Mapping[str, float]


@dataclass(frozen=True)
class Wish:
    """What to look for.

    Args:
        metric: to make small (or large).
        aims: demands, constraints and gates.
        reserve: share of the margins to keep from demands on measured metrics.
    """

    metric: Metric
    aims: tuple[Aim, ...]
    reserve: float = 1.0

    @property
    def sign(self) -> float:
        """1 if small is good."""
        return 1.0 if self.metric.goal == "min" else -1.0

    @property
    def wants_precision(self) -> bool:
        """Whether precision is what is made large."""
        return "precision" in self.metric.name

    def excess(self, values: Mapping[str, float], reserve: float | None = None) -> float:
        """The largest relative miss of any demand that ``values`` speak of; 0 or less: none."""
        worst, kept = 0.0, self.reserve if reserve is None else reserve
        for aim in self.aims:
            value = values.get(aim.metric.name)
            if value is None:
                continue
            size = max(abs(aim.constraint.bound), 1e-9)
            worst = max(worst, (aim.excess(value) + kept * margin(aim)) / size)
        return worst


def margin(aim: Aim) -> float:
    """How far a foretold value is to keep from the bound on a measured metric."""
    name = aim.metric.name
    if name in RESERVE:
        return RESERVE[name]
    if name in PREDICTED_BY or name == "memory_ckks":
        return SHARE * abs(aim.constraint.bound)
    return 0.0
