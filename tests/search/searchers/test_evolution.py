from __future__ import annotations

from typing import Any

import pytest

from search.api.domain import Choice, Integer, Ordinal, Param, Real
from search.api.errors import ConfigError
from search.api.searching import Problem
from search.pareto import hypervolume
from search.searchers.evolution import Evolution
from search.searchers.random_search import RandomSearch


def weighted(point: Any) -> float:
    """Kept entries are worth 1 to 7 in an order unrelated to their costs."""
    return -float(sum((1 + (3 * i) % 7) * kept for i, kept in enumerate(point["keep"])))


def test_masks_under_a_budget_beat_random_by_far(tools: Any) -> None:
    problem = tools.mask_problem(60, seed=1, trials=120)
    best = [
        min(t.values[0] for t in tools.run(searcher, 120, score=weighted))
        for searcher in (Evolution(problem), RandomSearch(problem))
    ]
    assert best[0] <= 1.2 * best[1] < 0  # 20 % more worth


def test_mixed_spaces_are_learnt(tools: Any) -> None:
    params = (
        Param("c", Choice(tuple("abcdef"))),
        Param("o", Ordinal(tuple(range(16)))),
        Param("i", Integer(0, 1000)),
        Param("x", Real(0, 1)),
    )

    def score(point: Any) -> float:
        return float(
            (point["c"] != "d") + abs(point["o"] - 11) / 16 + abs(point["i"] - 700) / 1000
        ) + abs(point["x"] - 0.2)

    problem = Problem(params, ("min",), seed=0, trials=200)
    means = [
        sum(t.values[0] for t in tools.run(s, 200, score=score)[150:]) / 50
        for s in (Evolution(problem), RandomSearch(problem))
    ]
    assert means[0] < 0.4 * means[1]


def test_two_objectives_spread_along_the_front(tools: Any) -> None:
    problem = tools.mask_problem(50, budget=2.0, seed=2)
    problem = Problem(problem.params, ("min", "max"), seed=2, trials=150)
    volumes = []
    for searcher in (Evolution(problem), RandomSearch(problem)):
        values = []
        for number in range(150):
            point = searcher.suggest(number, 0)
            assert point is not None
            searcher.start(number, point)
            cost = sum((1.0 + i % 5) * k for i, k in enumerate(point["keep"]))  # type: ignore[arg-type]
            values.append((cost, -weighted(point)))
            searcher.finish(tools.ended(number, point, values[-1]))
        volumes.append(hypervolume(values, (150.0, 0.0), ("min", "max")))
    assert volumes[0] > 1.2 * volumes[1]


def test_measured_constraints_are_learnt(tools: Any) -> None:
    params = tools.mask_problem(40).params
    problem = Problem(params, ("min",), ("ones",), seed=0, trials=120)
    trials = tools.run(
        Evolution(problem), 120, score=weighted, excess=lambda p: {"ones": sum(p["keep"]) - 15.0}
    )
    feasible = [t for t in trials if t.feasible]
    assert len([t for t in feasible if t.number >= 60]) > 20
    assert min(t.values[0] for t in feasible) < -70  # 15 times the mean worth is 60


def test_no_duplicates(tools: Any) -> None:
    params = (Param("o", Ordinal(tuple(range(9)))), Param("c", Choice(tuple("abcdefg"))))
    trials = tools.run(Evolution(Problem(params, ("min",))), 63, score=lambda p: p["o"])
    assert len({(t.point["o"], t.point["c"]) for t in trials}) == 63


def test_options(tools: Any) -> None:
    problem = tools.mask_problem(10)
    with pytest.raises(ConfigError, match="population"):
        Evolution(problem, population=2)
    searcher = Evolution(problem, population=4, initial=2, build=0.0, crossover=1.0)
    assert len(tools.run(searcher, 20, score=weighted)) == 20
    assert "keep" in searcher.reason
