from __future__ import annotations

from typing import Any

import pytest

from search.api.domain import Param, Real
from search.api.errors import ConfigError
from search.api.searching import Problem
from search.searchers.optuna_backed import NSGA2, TPE

PLANE = (Param("x", Real(0, 1)), Param("y", Real(0, 1)))


def test_constraints_lower_the_share_of_infeasible_proposals(tools: Any) -> None:
    # The objective pulls towards x + y = 2, the constraint wants x + y <= 0.6 (18 % of the square).
    def excess(point: Any) -> dict[str, float]:
        return {"sum": point["x"] + point["y"] - 0.6}

    def score(point: Any) -> float:
        return -float(point["x"] + point["y"])

    shares = []
    for seed in range(2):
        problem = Problem(PLANE, ("min",), ("sum",), seed=seed)
        trials = tools.run(TPE(problem), 60, excess=excess, score=score)
        shares.append(sum(excess(t.point)["sum"] > 0 for t in trials[30:]) / 30)
    told = sum(shares) / 2
    blind = tools.run(TPE(Problem(PLANE, ("min",), seed=0)), 60, score=score)
    untold = sum(excess(t.point)["sum"] > 0 for t in blind[30:]) / 30
    assert told < 0.7 < 0.95 < untold  # 0.82 by uniform draws


def test_tpe_learns(tools: Any) -> None:
    problem = Problem(PLANE, ("max",), seed=0)
    trials = tools.run(TPE(problem), 50, score=lambda p: -((p["x"] - 0.7) ** 2))
    late = [abs(t.point["x"] - 0.7) for t in trials[30:]]
    assert sum(late) / len(late) < 0.15  # 0.29 for uniform draws


def test_nsga2_gives_foreign_points_a_generation(tools: Any) -> None:
    searcher = NSGA2(Problem(PLANE, ("min",), seed=0), population_size=4)
    tools.run(searcher, 4)
    searcher.start(4, {"x": 0.5, "y": 0.5})
    memory = searcher.finish(tools.ended(4, {"x": 0.5, "y": 0.5}, (0.0,)))
    assert list(memory["trial"].values()) == [1]


def test_nsga2_options_reach_optuna() -> None:
    searcher = NSGA2(
        Problem(PLANE, ("min",)), population_size=7, crossover="sbx", mutation="polynomial"
    )
    sampler = searcher._sampler(0, 0)
    assert sampler.population_size == 7
    assert "7" in searcher.reason
    for crossover in ("uniform", "blxalpha", "spx", "undx", "vsbx"):
        NSGA2(Problem(PLANE, ("min",)), crossover=crossover)._sampler(0, 0)
    with pytest.raises(ConfigError, match="crossover"):
        NSGA2(Problem(PLANE, ("min",)), crossover="sbxx")


def test_tpe_is_explicit_about_joint_densities(tools: Any) -> None:
    conditional = tools.spaces["conditional"]
    assert "joint densities" in TPE(Problem(PLANE, ("min",))).reason
    assert "one density per parameter" in TPE(Problem(PLANE, ("min", "max"))).reason
    assert "grouped" in TPE(Problem(conditional, ("min", "max"))).reason
    many = tuple(Param(f"p{i}", Real(0, 1)) for i in range(31))
    assert "joint densities" in TPE(Problem(many, ("min", "max"))).reason
    with pytest.raises(ConfigError, match="group needs multivariate"):
        TPE(Problem(conditional, ("min",)), multivariate=False, group=True)
