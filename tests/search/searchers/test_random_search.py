from __future__ import annotations

from typing import Any

import pytest

from search.api.domain import Choice, Param, Vector
from search.api.errors import ConfigError
from search.api.searching import Problem
from search.searchers.random_search import RandomSearch

MASK = Problem((Param("v", Vector(Choice((0, 1)), 100)),), ("min",), seed=1)


def densities(searcher: RandomSearch, tools: Any) -> list[float]:
    return sorted(sum(t.point["v"]) / 100 for t in tools.run(searcher, 60, score=lambda p: 0.0))


def test_uniform_vectors_are_half_dense_and_stratified_ones_are_not(tools: Any) -> None:
    uniform = densities(RandomSearch(MASK), tools)
    assert uniform[0] > 0.3
    assert uniform[-1] < 0.7
    spread = densities(RandomSearch(MASK, vectors="stratified"), tools)
    assert spread[5] < 0.25
    assert spread[-6] > 0.75


def test_illegal_draws_are_repaired(tools: Any) -> None:
    problem = tools.mask_problem(40)
    trials = tools.run(RandomSearch(problem), 20, score=lambda p: 0.0)
    assert not any(problem.check(t.point) for t in trials)


def test_a_replayed_point_is_not_drawn_again(tools: Any) -> None:
    problem = Problem((Param("c", Choice(("a", "b", "c"))),), ("min",))
    searcher = RandomSearch(problem)
    searcher.replay([tools.ended(i, {"c": c}, (0.0,)) for i, c in enumerate("ab")])
    assert searcher.suggest(2, 0) == {"c": "c"}


def test_bad_option() -> None:
    with pytest.raises(ConfigError, match="vectors"):
        RandomSearch(MASK, vectors="dense")
