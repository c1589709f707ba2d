from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from search.api.candidate import Violation
from search.api.domain import Choice, Param, Point, Real, Vector
from search.api.searching import Problem
from search.searchers.limits import PROBES, KnownLimits, Room, fill


def limits_of(problem: Problem, options: tuple[int, ...] = (0, 1)) -> KnownLimits:
    param = problem.params[0]
    assert isinstance(param.domain, Vector)
    return KnownLimits(problem, param.name, param.domain, options)


def test_linear_budgets_are_learnt_exactly(tools: Any) -> None:
    problem = tools.mask_problem(20, budget=0.4)
    room = limits_of(problem).room({"keep": (0,) * 20})
    assert room is not None
    costs = [1.0 + i % 5 for i in range(20)]
    assert room.usage[0, :, 1] == pytest.approx(costs)
    assert room.usage[0, :, 0] == pytest.approx([0.0] * 20)
    assert room.total == pytest.approx([0.4 * sum(costs)])
    assert room.weight.sum() == pytest.approx(1.0)


def test_a_budget_set_by_another_parameter_moves_the_room() -> None:
    def check(point: Point) -> tuple[Violation, ...]:
        over = sum(point["v"]) - point["budget"]  # type: ignore[arg-type, operator]
        return (Violation("b", "", over, "1"),) if over > 0 else ()

    params = (Param("v", Vector(Choice((0, 1)), 6)), Param("budget", Real(0, 9)))
    limits = limits_of(Problem(params, ("min",), check=check))
    totals = [limits.room({"v": (0,) * 6, "budget": b}) for b in (2.0, 4.5, 7.0)]
    assert [None if r is None else r.total.round(6).tolist() for r in totals] == [[2], [4.5], None]


def test_nothing_limits_what_nothing_breaks() -> None:
    problem = Problem((Param("v", Vector(Choice((0, 1)), 6)),), ("min",))
    assert limits_of(problem).room({"v": (0,) * 6}) is None


def test_long_vectors_are_not_probed() -> None:
    calls = []

    def check(point: Point) -> tuple[Violation, ...]:
        calls.append(1)
        return (Violation("b", "", 1.0, "1"),)

    problem = Problem((Param("v", Vector(Choice((0, 1)), PROBES + 1)),), ("min",), check=check)
    assert limits_of(problem).room({}) is None
    assert not calls


def test_probing_happens_once(tools: Any) -> None:
    problem = tools.mask_problem(20)
    calls = []

    def check(point: Point) -> Any:
        calls.append(1)
        return problem.check(point)

    limits = limits_of(Problem(problem.params, ("min",), check=check))
    point: Point = {"keep": (0,) * 20}
    limits.room(point)
    once = len(calls)
    limits.room(point)
    assert 20 < once <= 25
    assert len(calls) == once + 1


ROOM = Room(np.array([[[0.0, 1.0], [0.0, 2.0], [0.0, 3.0]]]), np.array([3.0]))
ZEROS = np.zeros(3, dtype=np.int64)


def test_fill_takes_the_best_ratio_first() -> None:
    gain = np.array([[0.0, 1.0], [0.0, 1.0], [0.0, 1.2]])
    assert fill(ZEROS, gain, ROOM).tolist() == [1, 1, 0]


def test_fill_drops_the_worst_ratio_when_over() -> None:
    gain = np.array([[0.0, 1.0], [0.0, 0.1], [0.0, 9.0]])
    assert fill(ZEROS + 1, gain, ROOM).tolist() == [0, 0, 1]


def test_harm_is_left_out_unless_greedy() -> None:
    gain = np.array([[0.0, -1.0], [0.0, 1.0], [0.0, -9.0]])
    assert fill(ZEROS, gain, ROOM).tolist() == [0, 1, 0]
    assert fill(ZEROS, gain, ROOM, greedy=True).tolist() == [1, 1, 0]


def test_all_rules_hold_and_more_than_two_options_work() -> None:
    rng = np.random.default_rng(0)
    for _ in range(30):
        usage = rng.random((2, 12, 4))
        usage -= usage.min(axis=2, keepdims=True)
        room = Room(usage, usage.max(axis=2).sum(axis=1) * 0.5)
        start = rng.integers(0, 4, 12)
        chosen = fill(start, rng.random((12, 4)), room)
        cheapest = room.weight.argmin(axis=1)
        floor = usage[:, np.arange(12), cheapest].sum(axis=1)
        used = usage[:, np.arange(12), chosen].sum(axis=1)
        assert (used <= np.maximum(room.total, floor) + 1e-6).all()
