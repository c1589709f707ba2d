from __future__ import annotations

import dataclasses
import json
import random
from collections.abc import Callable
from typing import Any

import pytest

from search.api.domain import Point, sample_point
from search.api.searching import Problem
from search.api.trial import Trial
from search.searchers.amc import Amc
from search.searchers.annealing import Annealing
from search.searchers.history import Member
from search.searchers.learner import PATIENCE, Learner
from search.searchers.reinforce import Reinforce

ALL: list[Callable[[Problem], Learner]] = [
    Annealing,
    Reinforce,
    lambda problem: Amc(problem, warmup=5, updates=3),
]


class Noting(Learner):
    """Writes down what it learns, and proposes the point learnt last."""

    name = "noting"

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        self.learnt: list[int] = []

    def _propose(self, number: int, attempt: int, rng: random.Random) -> Point:
        members = self._history.members
        return members[-1].point if members else sample_point(self._problem.params, rng)

    def _learn(self, member: Member) -> None:
        self.learnt.append(member.number)


def in_flight(searcher: Learner, tools: Any, first: int, last: int, open_: dict[int, Point]) -> Any:
    """Trials ``first`` to ``last`` with three in flight, which end out of order."""
    done = []
    for number in range(first, last):
        point = searcher.suggest(number, 0)
        assert point is not None
        searcher.start(number, point)
        open_[number] = point
        if len(open_) > 3:
            due = sorted(open_)[number % 3]
            status = "failed" if due % 7 == 6 else "complete"
            values = None if status == "failed" else (tools.loss(open_[due]),)
            trial = tools.ended(due, open_.pop(due), values, status)
            memory = json.loads(json.dumps(searcher.finish(trial)))
            done.append(dataclasses.replace(trial, memory=memory))
    return done


@pytest.mark.parametrize("make", ALL, ids=["annealing", "reinforce", "amc"])
def test_a_replay_follows_the_order_in_which_trials_ended(
    make: Callable[[Problem], Learner], tools: Any
) -> None:
    problem = Problem(tools.spaces["vectors"], ("min",), trials=60, seed=2)
    live, resumed = make(problem), make(problem)
    open_: dict[int, Point] = {}
    told: list[Trial] = in_flight(live, tools, 0, 24, open_)
    assert [t.number for t in told] != sorted(t.number for t in told)
    dead = [tools.ended(n, point, None, "crashed") for n, point in open_.items()]
    stored = sorted([*told, *dead], key=lambda t: t.number)  # as a store gives them, by number
    resumed.replay(stored)
    for trial in dead:  # the driver was killed; live goes through the same
        live.finish(trial)
    again: list[list[Point]] = []
    for searcher in (live, resumed):
        again.append([t.point for t in in_flight(searcher, tools, 24, 40, {})])
    assert again[0] == again[1]


def test_trials_are_learnt_from_in_the_order_told(tools: Any) -> None:
    problem = Problem(tools.spaces["numerical"], ("min",), trials=60)
    live, resumed = Noting(problem), Noting(problem)
    told = in_flight(live, tools, 0, 20, {})
    running = Trial(50, {"x": 0.5, "lr": 0.1, "n": 3, "k": 0}, 0, told[0].origin, "running")
    resumed.replay([*sorted(told, key=lambda t: t.number), running])
    assert resumed.learnt == live.learnt
    assert 6 not in live.learnt  # failed: nothing to learn


def test_trials_that_a_dead_driver_left_keep_their_place_in_later_replays(tools: Any) -> None:
    problem = Problem(tools.spaces["numerical"], ("min",), trials=60)
    live, resumed, again = (Noting(problem) for _ in range(3))
    open_: dict[int, Point] = {}
    told = in_flight(live, tools, 0, 20, open_)
    left = [tools.ended(n, point, (tools.loss(point),)) for n, point in open_.items()]
    before = sorted([*told, *left], key=lambda t: t.number)  # done, but nobody was told
    resumed.replay(before)
    assert resumed.learnt[-len(left) :] == sorted(open_)
    later = in_flight(resumed, tools, 20, 30, {})
    again.replay([*before, *sorted(later, key=lambda t: t.number)])
    assert again.learnt == resumed.learnt


def test_a_repeat_is_replaced_by_a_neighbour_and_then_by_a_random_point(tools: Any) -> None:
    searcher = Noting(Problem(tools.spaces["numerical"], ("min",), trials=60))
    tools.run(searcher, 5)
    last = searcher._history.members[-1].point
    near, far = searcher.suggest(5, 0), searcher.suggest(5, PATIENCE)
    assert near is not None
    assert far is not None
    assert sum(near[name] == last[name] for name in last) == len(last) - 1
    assert sum(far[name] == last[name] for name in last) < len(last) - 1
