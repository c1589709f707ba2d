from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.api.domain import Param, Real, point_digest
from search.api.searching import Problem
from search.pareto import non_dominated
from search.searchers.history import History, by_rank_and_crowding, crowding, member_of

PARAMS = (Param("x", Real(0, 1)),)


def test_losses_are_minimised_and_excesses_complete(tools: Any) -> None:
    trial = tools.ended(3, {"x": 0.5}, (1.0, 2.0), excess={"a": -1.0})
    member = member_of(trial, [1.0, -1.0], ["a", "b"])
    assert member is not None
    assert member.losses == (1.0, -2.0)
    assert member.excess == {"a": -1.0, "b": 0.0}
    assert member.feasible


@pytest.mark.parametrize("status", ["failed", "crashed", "running"])
def test_nothing_is_learnt_from_failures(status: str, tools: Any) -> None:
    history = History(Problem(PARAMS, ("min",)))
    assert history.finish(tools.ended(0, {"x": 0.5}, None, status)) is None
    assert history.population == []
    assert point_digest({"x": 0.5}) in history.seen


def test_not_a_number_is_a_failure(tools: Any) -> None:
    assert member_of(tools.ended(0, {"x": 0.5}, (float("nan"),)), [1.0], []) is None


def test_feasible_first_then_least_violated(tools: Any) -> None:
    history = History(Problem(PARAMS, ("min",), ("a", "b")), capacity=4)
    told = [
        ((1.0,), "complete", {"a": 9.0}),
        ((2.0,), "complete", {"a": 1.0, "b": 0.0}),
        ((8.0,), "complete", {}),
        (None, "gated", {"a": 0.5}),
        (None, "infeasible", {}),
        ((7.0,), "complete", {"a": -5.0}),
    ]
    for number, (values, status, excess) in enumerate(told):
        history.finish(tools.ended(number, {"x": 0.1 * number}, values, status, excess=excess))
    assert [m.number for m in history.population] == [5, 2, 3, 1]


def test_violations_are_relative_to_the_worst_seen(tools: Any) -> None:
    history = History(Problem(PARAMS, ("min",), ("mb", "ms")))
    members = [
        history.finish(tools.ended(i, {"x": i / 9}, (1.0,), excess=e))
        for i, e in enumerate(({"mb": 4.0}, {"ms": 1e9}, {"mb": 2.0, "ms": 5e8}, {}))
    ]
    assert [history.violation(m) for m in members if m] == [1.0, 1.0, 1.0, 0.0]


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=20))
def test_the_front_comes_first(losses: list[tuple[int, int]]) -> None:
    order = by_rank_and_crowding(np.array(losses, dtype=float))
    assert sorted(order) == list(range(len(losses)))
    front = non_dominated(losses, ("min", "min"))
    assert sorted(order[: len(front)]) == front


def test_one_objective_sorts_and_empty_is_empty() -> None:
    assert by_rank_and_crowding(np.array([[3.0], [1.0], [2.0]])) == [1, 2, 0]
    assert by_rank_and_crowding(np.zeros((0, 2))) == []


def test_crowding_by_hand() -> None:
    losses = np.array([[0.0, 4.0], [1.0, 2.0], [4.0, 0.0]])
    assert crowding(losses).tolist() == [np.inf, 2.0, np.inf]
