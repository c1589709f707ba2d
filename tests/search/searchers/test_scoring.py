from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from search.api.domain import Param, Real
from search.api.searching import Problem
from search.searchers.history import History, Member
from search.searchers.scoring import Scoring, context_of, ranks, weights_of

ONE = Problem((Param("x", Real(0, 1)),), ("min",), ("size",), seed=3)
TWO = dataclasses.replace(ONE, goals=("min", "max"))


def told(tools: Any, problem: Problem, *trials: Any) -> tuple[Scoring, History]:
    history = History(problem)
    for number, (values, excess, status) in enumerate(trials):
        history.finish(tools.ended(number, {"x": 0.5}, values, status, excess={"size": excess}))
    return Scoring(problem, history), history


def test_weights_are_a_function_of_seed_and_number_and_cover_the_simplex() -> None:
    assert weights_of(ONE, 7) == pytest.approx([1.0])
    drawn = np.array([weights_of(TWO, n) for n in range(400)])
    assert (drawn == [weights_of(TWO, n) for n in range(400)]).all()
    assert drawn.sum(axis=1) == pytest.approx(1.0)
    assert np.histogram(drawn[:, 0], 4, (0, 1))[0].min() > 70
    assert (drawn[:9] != [weights_of(dataclasses.replace(TWO, seed=4), n) for n in range(9)]).any()


def test_a_policy_sees_weights_only_where_there_are_several() -> None:
    assert context_of(ONE, 7).shape == (0,)
    seen = np.array([context_of(TWO, n) for n in range(200)])
    assert seen.sum(axis=1) == pytest.approx(0.0)
    assert 0.8 < seen.std() < 1.6
    assert (np.argmax(seen, axis=1) == [np.argmax(weights_of(TWO, n)) for n in range(200)]).all()


def test_ranks() -> None:
    assert ranks(np.array([[5.0, 1.0]])) == pytest.approx(np.array([[0.5, 0.5]]))
    found = ranks(np.array([[3.0], [1.0], [1.0], [900.0]]))
    assert found[:, 0] == pytest.approx([2 / 3, 1 / 6, 1 / 6, 1.0])


def test_feasible_trials_are_rewarded_by_rank_and_others_graded_by_excess(tools: Any) -> None:
    scoring, _ = told(
        tools,
        ONE,
        ((4.0,), 0.0, "complete"),
        ((1.0,), 0.0, "complete"),
        ((0.0,), 2.0, "complete"),  # good values, but infeasible
        (None, 1e9, "infeasible"),
        (None, 0.5, "gated"),
        ((2.0,), -1.0, "complete"),
    )
    rewards = scoring.rewards()
    assert rewards == pytest.approx([0.0, 1.0, -0.55, -1.0, -0.1, 0.5])


def test_a_gated_trial_that_exceeds_nothing_is_infeasible_all_the_same(tools: Any) -> None:
    scoring, history = told(tools, ONE, ((4.0,), 0.0, "complete"), (None, 0.0, "gated"))
    assert scoring.rewards() == pytest.approx([0.5, -0.55])
    good, gated = history.members
    assert scoring.better(good, gated)
    assert not scoring.better(gated, good)


def test_two_objectives_are_weighed_by_each_trials_own_weights(tools: Any) -> None:
    trials = [((float(n), float(n)), 0.0, "complete") for n in range(11)]  # all on a front
    scoring, _ = told(tools, TWO, *trials)
    rewards = scoring.rewards()
    first = np.array([weights_of(TWO, n)[0] for n in range(11)])
    assert ((rewards >= 0) & (rewards <= 1)).all()
    cheap, fine = first > 0.6, first < 0.4  # those that mind cost most, and quality most
    assert np.corrcoef(np.arange(11)[cheap], rewards[cheap])[0, 1] < -0.5
    assert np.corrcoef(np.arange(11)[fine], rewards[fine])[0, 1] > 0.5
    best, _ = told(tools, TWO, *trials, ((-1.0, 99.0), 0.0, "complete"))
    assert best.rewards()[-1] == pytest.approx(1.0)  # best in both, whatever the weights


def test_spread_ignores_outliers_and_infeasible_trials(tools: Any) -> None:
    values = [*range(9), 1e6]
    scoring, _ = told(tools, ONE, *(((float(v),), 0.0, "complete") for v in values))
    assert scoring.spread() == pytest.approx([4.5])
    same, _ = told(tools, ONE, *(((v,), 0.0, "complete") for v in (1.0, 1.0, 1.0, 1.0, 3.0)))
    assert same.spread() == pytest.approx([2.0])
    none, _ = told(tools, ONE, ((1.0,), 5.0, "complete"), ((3.0,), 5.0, "complete"))
    assert none.spread() == pytest.approx([1.0])


def test_of_two_infeasible_trials_the_one_with_less_excess_is_better(tools: Any) -> None:
    scoring, history = told(tools, ONE, ((1.0,), 5.0, "complete"), ((9.0,), 4.0, "complete"))
    assert scoring.better(history.members[1], history.members[0])
    twin = Member(9, {"x": 0.1}, (0.0,), {"size": 4.0})
    assert not scoring.better(twin, history.members[1])
