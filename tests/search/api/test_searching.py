"""A problem states what searchers need, and assumes nothing it was not told."""

from __future__ import annotations

import dataclasses

import pytest

from search.api.candidate import Violation
from search.api.domain import Param, Point, Real
from search.api.searching import Problem

X = Param("x", Real(0, 1))


def test_a_bare_problem_has_no_rules_no_repair_and_no_end() -> None:
    problem = Problem((X,), ("min",))
    assert list(problem.check({"x": 2.0})) == []
    assert problem.repair is None
    assert problem.trials is None
    assert (problem.constraints, problem.seed, problem.gated) == ((), 0, False)


def test_rules_and_repair_are_called_as_given() -> None:
    def check(point: Point) -> list[Violation]:
        return [Violation("low", "x above 0.5", float(point["x"]) - 0.5, "1")] if point["x"] else []

    problem = Problem((X,), ("min",), check=check, repair=lambda point: {"x": 0.0})
    assert problem.repair is not None
    (violation,) = problem.check({"x": 0.75})
    assert violation.excess == 0.25
    assert not problem.check(problem.repair({"x": 0.75}))


def test_a_problem_is_changed_by_making_another() -> None:
    problem = Problem((X,), ("min", "max"), trials=5)
    with pytest.raises(dataclasses.FrozenInstanceError):
        problem.trials = 6  # type: ignore[misc]
    other = dataclasses.replace(problem, trials=6)
    assert (problem.trials, other.trials, other.goals) == (5, 6, ("min", "max"))
