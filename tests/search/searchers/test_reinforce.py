from __future__ import annotations

import statistics
from typing import Any

from search.api.domain import Choice, Integer, Ordinal, Param, Real, Vector
from search.api.searching import Problem
from search.searchers.random_search import RandomSearch
from search.searchers.reinforce import Reinforce
from search.searchers.scoring import weights_of

MODES = (
    Param("pattern", Choice((4, 8, 12))),
    Param("order", Choice(("inputs", "weights", "outputs"))),
    Param("tile", Ordinal((1, 2, 4, 8, 16))),
    Param("batch", Integer(1, 64, log=True)),
    Param("uses", Vector(Choice((0, 1)), 4)),
    Param("keep", Vector(Real(0, 1), 3)),
    Param("extra", Real(0, 1), when={"order": ("inputs", "outputs")}),
)
"""Of the kind of a search for networks with modes on a device."""


def loss(p: Any) -> float:
    steps = abs((1, 2, 4, 8, 16).index(p["tile"]) - 3)
    wrong = (p["pattern"] != 8) + (p["order"] != "weights") + steps
    mask = sum(use != i % 2 for i, use in enumerate(p["uses"]))
    keep = sum(abs(k - t) for k, t in zip(p["keep"], (0.8, 0.5, 0.2), strict=True))
    return float(0.3 * wrong + 0.2 * mask + keep)


def energy(p: Any) -> dict[str, float]:
    return {"energy": sum(p["keep"]) + 0.02 * p["tile"] - 1.3}


def test_modes_under_a_measured_constraint_beat_random_by_far(tools: Any) -> None:
    means, feasible = [], []
    for cls in (Reinforce, RandomSearch):
        best, late = [], 0
        for seed in range(4):
            problem = Problem(MODES, ("min",), ("energy",), 90, seed)
            trials = tools.run(cls(problem), 90, score=loss, excess=energy)
            assert all(tools.lies_in(MODES, t.point) for t in trials)
            best.append(min(t.values[0] for t in trials if t.feasible))
            late += sum(t.feasible for t in trials[60:])
        means.append(statistics.mean(best))
        feasible.append(late)
    assert means[0] < 0.75 * means[1]
    assert feasible[0] > 1.4 * feasible[1]


def test_pruning_ratios_beat_random(tools: Any) -> None:
    means = []
    for cls in (Reinforce, RandomSearch):
        best = []
        for seed in range(4):
            problem, _ = tools.ratio_problem(seed, 80)
            trials = tools.run(cls(problem), 80, score=tools.damage)
            assert not any(problem.check(t.point) for t in trials)
            best.append(min(t.values[0] for t in trials))
        means.append(statistics.mean(best))
    assert means[0] < 0.9 * means[1]


def test_trials_without_values_are_left_by_their_excess_alone(tools: Any) -> None:
    """Every trial ends at a gate; only how far it is from passing is told."""
    params = (Param("o", Ordinal(tuple(range(8)))), Param("v", Vector(Real(0, 1), 5)))
    problem = Problem(params, ("min",), ("size",), 80, seed=1, gated=True)
    searcher = Reinforce(problem)
    excess = []
    for number in range(80):
        point: Any = searcher.suggest(number, 0)
        searcher.start(number, point)
        excess.append(1.0 + point["o"] + sum(point["v"]))
        searcher.finish(tools.ended(number, point, None, "gated", excess={"size": excess[-1]}))
    assert statistics.mean(excess[60:]) < 0.7 * statistics.mean(excess[:20])


def test_with_two_objectives_the_policy_follows_the_weights(tools: Any) -> None:
    params = (Param("v", Vector(Real(0, 1), 3)),)
    problem = Problem(params, ("min", "min"), trials=200, seed=0)
    searcher = Reinforce(problem)
    means, wish = [], []
    for number in range(200):
        point: Any = searcher.suggest(number, 0)
        searcher.start(number, point)
        mean = sum(point["v"]) / 3
        searcher.finish(tools.ended(number, point, (mean, 1.0 - mean)))
        means.append(mean)
        wish.append(float(weights_of(problem, number)[1]))
    assert statistics.correlation(means[100:], wish[100:]) > 0.3
    assert "weights" in searcher.reason


def test_options_set_the_grid_and_the_network(tools: Any) -> None:
    params = (Param("v", Vector(Real(0, 1), 3)), Param("i", Integer(0, 99)))
    problem = Problem(params, ("min",), trials=40)
    searcher = Reinforce(problem, bins=3, cells=4, embedding=2, lr=0.1)
    trials = tools.run(searcher, 10, score=lambda p: float(p["i"]))
    off = [t for t in trials if not {*t.point["v"]} <= {0.0, 0.5, 1.0}]
    assert len(off) < 3  # a repeat is replaced by a neighbour off the grid
    assert "4 decisions and 12 options" in searcher.reason


def test_a_policy_without_exploration_settles(tools: Any) -> None:
    problem = Problem(MODES, ("min",), trials=150, seed=5)
    trials = tools.run(Reinforce(problem, exploration=0.0), 150, score=loss)
    orders = [t.point["order"] for t in trials[120:]]
    assert orders.count("weights") > 20
