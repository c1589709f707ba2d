from __future__ import annotations

import random
from typing import Any

import numpy as np

from search.api.domain import Choice, Param, Real, Vector, sample_point
from search.api.searching import Problem
from search.searchers.episodes import MOST_SLOTS, Episodes
from search.searchers.networks import Floats

NONE = np.zeros(0)


def test_what_is_played_is_read_again(tools: Any) -> None:
    problem = Problem(tools.spaces["vectors"], ("min",))
    episodes, rng, met = Episodes(problem), random.Random(0), []

    def act(state: Floats) -> float:
        met.append(state)
        return rng.random()

    for _ in range(10):
        met.clear()
        point = episodes.play(act, NONE)
        assert tools.lies_in(problem.params, point)
        states, actions = episodes.read(point, NONE)
        assert states.shape == (len(met), episodes.width)
        assert ((actions >= 0) & (actions <= 1)).all()
        codes = episodes.width - 6
        assert (states[:, :codes] == np.array(met)[:, :codes]).all()
    assert episodes.steps >= states.shape[0]


def test_states_tell_how_far_the_budget_is_whatever_comes_next(tools: Any) -> None:
    problem, _ = tools.ratio_problem(0, 50)
    episodes = Episodes(problem)
    ahead = {}
    for share in (0.0, 1.0):
        states, _ = episodes.read(
            {"keep": (0.05 if share == 0 else 1.0,) * 8, "bits": 8, "rule": "b"}, NONE
        )
        ahead[share] = states[:, -2:]
    assert ahead[1.0][0].tolist() == ahead[0.0][0].tolist() == [0.0, 1.0]  # nothing decided yet
    assert (np.diff(ahead[1.0][:8, 0]) >= 0).all()
    assert ahead[1.0][8].tolist() == [1.0, 1.0]  # all was kept: over, whatever the scalars
    assert ahead[0.0][8].tolist() == [0.0, 0.0]


def test_without_rules_nothing_is_ahead_and_weights_come_last() -> None:
    params = (Param("r", Vector(Real(0, 1), 3)), Param("c", Choice(("a", "b"))))
    episodes = Episodes(Problem(params, ("min", "max")), context=2)
    states, actions = episodes.read({"r": (0.25, 0.5, 0.75), "c": "b"}, np.array([0.3, 0.7]))
    assert states[:, -2:].tolist() == [[0.3, 0.7]] * 4
    assert (states[:, -4:-2] == 0).all()
    assert actions.tolist() == [0.25, 0.5, 0.75, 0.75]
    last_action, mean, own = states[3, -7:-4]
    assert (last_action, mean, own) == (0.75, 0.5, 0.5)


def test_long_vectors_have_short_states() -> None:
    params = (Param("v", Vector(Choice((0, 1)), 10 * MOST_SLOTS)),)
    episodes = Episodes(Problem(params, ("min",)))
    point = sample_point(params, random.Random(0))
    states, _ = episodes.read(point, NONE)
    assert states.shape[1] < 30
    assert len(np.unique(states[:, :16].round(9), axis=0)) == 10 * MOST_SLOTS
