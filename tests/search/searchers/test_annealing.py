from __future__ import annotations

from typing import Any

import pytest

from search.api.domain import Choice, Integer, Ordinal, Param, Real, Vector
from search.api.errors import ConfigError
from search.api.searching import Problem
from search.pareto import hypervolume
from search.searchers.annealing import Annealing
from search.searchers.random_search import RandomSearch

SEEDS = range(4)
X = (Param("x", Real(0, 100)),)


def told(searcher: Annealing, tools: Any, number: int, x: float, values: Any, **kw: Any) -> float:
    """Tell a trial; the value of x that the chain is at afterwards."""
    searcher.start(number, {"x": x})
    searcher.finish(tools.ended(number, {"x": x}, values, **kw))
    current = searcher._current
    assert current is not None
    return float(current.point["x"])  # type: ignore[arg-type]


def test_pruning_ratios_beat_random_by_far(tools: Any) -> None:
    means = []
    for cls in (Annealing, RandomSearch):
        best = []
        for seed in SEEDS:
            problem, _ = tools.ratio_problem(seed, 80)
            trials = tools.run(cls(problem), 80, score=tools.damage)
            assert not any(problem.check(t.point) for t in trials)
            best.append(min(t.values[0] for t in trials))
        means.append(sum(best) / len(best))
    assert means[0] < 0.85 * means[1]


def test_measured_constraints_are_left_and_stay_left(tools: Any) -> None:
    late = []
    for cls in (Annealing, RandomSearch):
        problem, used = tools.ratio_problem(1, 80, known=False)
        trials = tools.run(
            cls(problem), 80, score=tools.damage, excess=lambda p, u=used: {"size": u(p) - 0.25}
        )
        late.append(sum(t.feasible for t in trials[40:]))
    assert late[0] > 25 > late[1]


def test_cold_chains_reject_what_hot_ones_accept_on_any_scale_of_the_objective(tools: Any) -> None:
    for scale in (1e-4, 1.0, 1e6):
        accepted = []
        for number in (2, 99):
            count = 0
            for seed in range(40):
                problem = Problem(X, ("min",), trials=100, seed=seed)
                searcher = Annealing(problem, hot=2.0, initial=1)
                told(searcher, tools, 0, 0.0, (0.0,))
                at = told(searcher, tools, number, 1.0, (scale,))  # two interquartile ranges worse
                count += at == 1.0
            accepted.append(count)
        assert 3 < accepted[0] < 30  # exp(-1) of 40 is 15
        assert accepted[1] == 0


def test_the_scale_can_be_given(tools: Any) -> None:
    for scale, stays in ((1.0, 0.0), (1e9, 1.0)):
        searcher = Annealing(Problem(X, ("max",), trials=100), scale=scale, initial=1)
        told(searcher, tools, 0, 0.0, (90.0,))
        assert told(searcher, tools, 2, 1.0, (50.0,)) == stays


def test_feasible_beats_infeasible_and_less_excess_more(tools: Any) -> None:
    searcher = Annealing(Problem(X, ("min",), ("size",), trials=100), initial=1)
    at = [
        told(searcher, tools, 0, 0.0, None, status="gated"),
        told(searcher, tools, 1, 1.0, (0.0,), excess={"size": 5.0}),
        told(searcher, tools, 2, 2.0, (9.0,), excess={"size": 0.4}),
        told(searcher, tools, 3, 3.0, (0.0,), excess={"size": 0.5}),
        told(searcher, tools, 4, 4.0, (50.0,), excess={"size": -1.0}),
        told(searcher, tools, 5, 5.0, (0.0,), excess={"size": 0.1}),
        told(searcher, tools, 6, 6.0, None, status="infeasible", excess={"rule": 1.0}),
    ]
    assert at[1:] == [at[1], 2.0, 2.0, 4.0, 4.0, 4.0]


def test_temperature_falls_over_the_budget_of_trials_and_steps_shrink(tools: Any) -> None:
    params = (Param("r", Vector(Real(0, 1), 6)), Param("c", Choice(("a", "b"))))
    searcher = Annealing(Problem(params, ("min",), trials=50), hot=2.0, cold=0.02, initial=3)
    assert searcher.temperature(0) == searcher.temperature(3) == 2.0
    assert searcher.temperature(49) == searcher.temperature(80) == pytest.approx(0.02)
    home = {"r": (0.5,) * 6, "c": "a"}
    searcher.start(0, home)
    searcher.finish(tools.ended(0, home, (1.0,)))
    reach = [
        max(abs(r - 0.5) for a in range(5) for r in searcher.suggest(n, a)["r"])  # type: ignore[index, union-attr]
        for n in (3, 49)
    ]
    assert 0.2 < reach[0] <= 0.35
    assert 0.02 < reach[1] <= 0.05


def test_mixed_spaces_are_learnt(tools: Any) -> None:
    params = (
        Param("c", Choice(tuple("abcdef"))),
        Param("o", Ordinal(tuple(range(16)))),
        Param("i", Integer(0, 1000)),
        Param("x", Real(0, 1)),
    )

    def score(p: Any) -> float:
        near = abs(p["o"] - 11) / 16 + abs(p["i"] - 700) / 1000 + abs(p["x"] - 0.2)
        return float((p["c"] != "d") + near)

    problem = Problem(params, ("min",), seed=0, trials=150)
    means = [
        sum(t.values[0] for t in tools.run(s, 150, score=score)[110:]) / 40
        for s in (Annealing(problem), RandomSearch(problem))
    ]
    assert means[0] < 0.4 * means[1]


def test_two_objectives_spread_along_the_front(tools: Any) -> None:
    volumes = []
    for cls in (Annealing, RandomSearch):
        values = []
        problem, used = tools.ratio_problem(0, 120, goals=("min", "min"))
        searcher = cls(problem)
        for number in range(120):
            point = searcher.suggest(number, 0)
            assert point is not None
            searcher.start(number, point)
            values.append((used(point), tools.damage(point)))
            searcher.finish(tools.ended(number, point, values[-1]))
        volumes.append(hypervolume(values, (0.25, 4.0), ("min", "min")))
    assert volumes[0] > 1.08 * volumes[1]


def test_options() -> None:
    with pytest.raises(ConfigError, match="cold must not exceed hot"):
        Annealing(Problem(X, ("min",)), hot=0.1, cold=1.0)
    searcher = Annealing(Problem(X, ("min", "max"), trials=30), scale=2.0)
    assert "units of 2" in searcher.reason
    assert "random weights" in searcher.reason
