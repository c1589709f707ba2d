"""Fronts, bests, and values told from outside."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from search import Metric, Study
from search.api.errors import ConfigError
from search.api.trial import Origin, Outcome, Trial
from search.results import best, front, scored, told

GOALS = (Metric("acc", "%", "max", ""), Metric("cost", "ms", "min", ""))


def trial(number: int, *values: float, excess: float = 0.0) -> Trial:
    outcome = Outcome(number, "complete", excess={"c": excess})
    return Trial(number, {}, 0, Origin("user"), "complete", values or None, outcome)


TRIALS = [
    trial(0, 90.0, 8.0),
    trial(1, 89.0, 4.0),
    trial(2, 88.0, 5.0),
    trial(3, 99.0, 1.0, excess=1.0),
    trial(4, 85.0, 2.0),
]


def test_front_and_best_leave_infeasible_trials_out() -> None:
    assert [t.number for t in front(TRIALS, GOALS)] == [0, 1, 4]
    assert [t.number for t, _ in scored(TRIALS)] == [0, 1, 2, 4]
    first, cheapest = best(TRIALS, GOALS), best(TRIALS, GOALS, "cost")
    assert first is not None
    assert cheapest is not None
    assert (first.number, cheapest.number) == (0, 4)
    assert best([], GOALS) is None
    with pytest.raises(ConfigError, match="known: acc, cost"):
        best(TRIALS, GOALS, "speed")


def test_told_values_need_every_objective(toy_study: Callable[..., Study]) -> None:
    components = toy_study(constraints=["cost <= 3 ms"]).components
    outcome = told(4, {"loss": 1.0, "cost": 5.0}, "model", components)
    assert outcome.excess == {"cost <= 3 ms": 2.0}
    assert {m.evidence for m in outcome.measurements} == {"model"}
    with pytest.raises(ConfigError, match="'cost' is missing"):
        told(4, {"loss": 1.0}, "model", components)
    with pytest.raises(ConfigError, match="unknown metric 'speed'"):
        told(4, {"loss": 1.0, "cost": 5.0, "speed": 1.0}, "model", components)
