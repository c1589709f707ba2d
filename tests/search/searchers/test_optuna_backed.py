from __future__ import annotations

from typing import Any

import pytest
from optuna.trial import TrialState

from search.api.domain import Choice, Integer, Param, Real, Vector
from search.api.errors import ConfigError
from search.api.protocols import Problem
from search.searchers.optuna_backed import CMAES, GATED, GP, NSGA2, QMC, TPE, OptunaBacked

PLANE = (Param("x", Real(0, 1)), Param("y", Real(0, 1)))
MASK = (Param("keep", Vector(Choice((0, 1)), 8)),)


def mirrored(searcher: OptunaBacked) -> list[Any]:
    return searcher._mirror.trials


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


def test_how_trials_stand_in_the_mirror(tools: Any) -> None:
    searcher = TPE(Problem(PLANE, ("min", "max"), ("size",), seed=0))
    ends = [
        ("complete", (1.0, 2.0), {"size": -1.0}, TrialState.COMPLETE, {"size": -1.0}),
        ("complete", (1.0, 2.0), {}, TrialState.COMPLETE, {"size": 0.0}),
        ("gated", None, {"size": 3.0}, TrialState.PRUNED, {"size": 3.0}),
        ("gated", None, {}, TrialState.PRUNED, {"size": 0.0, GATED: 1.0}),
        ("infeasible", None, {"rule": 2.0}, TrialState.PRUNED, {"size": 0.0, "rule": 2.0}),
        ("failed", None, {}, TrialState.FAIL, {}),
        ("crashed", None, {}, TrialState.FAIL, {}),
        ("complete", (float("inf"), 2.0), {}, TrialState.FAIL, {}),
    ]
    for number, (status, values, excess, _, _) in enumerate(ends):
        point = {"x": 0.1 * number, "y": 0.5}
        searcher.start(number, point)
        assert mirrored(searcher)[number].state == TrialState.RUNNING
        searcher.finish(tools.ended(number, point, values, status, excess=excess))
    for trial, (_, values, _, state, constraints) in zip(mirrored(searcher), ends, strict=True):
        assert trial.state == state
        assert trial.constraints == constraints
        if state == TrialState.COMPLETE:
            assert trial.values == list(values or ())


@pytest.mark.parametrize("cls", [TPE, NSGA2, QMC])
def test_vectors_never_become_optuna_parameters(cls: Any, tools: Any) -> None:
    searcher = cls(Problem(tools.spaces["vectors"], ("min",), seed=0))
    tools.run(searcher, 25)
    names = {name for trial in mirrored(searcher) for name in trial.params}
    assert names <= {p.name for p in tools.spaces["conditional"]}
    assert {"x", "c"} <= names
    assert "proposed whole" in searcher.reason
    assert "not by Optuna" in searcher.reason


def test_spaces_of_vectors_alone(tools: Any) -> None:
    problem = Problem(MASK, ("min",), seed=0)
    for cls in (GP, CMAES, QMC):
        with pytest.raises(ConfigError, match="use evolution or random"):
            cls(problem)
    for fine in (TPE(problem), NSGA2(problem)):
        assert len(tools.run(fine, 20)) == 20
        assert "no scalars" in fine.reason


def test_cmaes_refuses_what_it_cannot_do() -> None:
    with pytest.raises(ConfigError, match=r"one objective \(got 2\)"):
        CMAES(Problem(PLANE, ("min", "min")))
    with pytest.raises(ConfigError, match="measured constraints"):
        CMAES(Problem(PLANE, ("min",), ("size",)))
    with pytest.raises(ConfigError, match=r"at least two numerical.*got 1"):
        CMAES(Problem((PLANE[0], Param("c", Choice(("a", "b")))), ("min",)))
    with pytest.raises(ConfigError, match="exclude one another"):
        CMAES(Problem(PLANE, ("min",)), with_margin=True, lr_adapt=True)


@pytest.mark.parametrize("options", [{}, {"with_margin": True}, {"use_separable_cma": True}])
def test_cmaes_closes_generations_and_stores_no_pickle(
    options: dict[str, bool], tools: Any
) -> None:
    params = (*PLANE, Param("n", Integer(0, 20)))
    problem = Problem(params, ("min",), seed=0)
    searcher = CMAES(problem, popsize=4, **options)

    def score(point: Any) -> float:
        return float((point["x"] - 0.3) ** 2 + (point["y"] - 0.6) ** 2 + point["n"] / 100)

    trials = tools.run(searcher, 40, score=score)
    kept = [t.memory["trial"] for t in trials[1:]]
    generations = [v for m in kept for k, v in m.items() if k.endswith("generation")]
    assert generations[-1] >= 8
    assert generations == sorted(generations)
    assert not any("optimizer" in key for m in kept for key in m)
    best = [min(t.values[0] for t in part) for part in (trials[:8], trials[-8:])]
    assert best[1] < best[0]


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


def test_qmc_walks_one_sequence(tools: Any) -> None:
    problem = Problem(PLANE, ("min",), seed=7)
    points = [t.point for t in tools.run(QMC(problem), 16)]
    for axis in ("x", "y"):  # a (0, 4, 2)-net: one point per sixteenth of every axis
        assert sorted(int(16 * p[axis]) for p in points) == list(range(16))
    late = QMC(problem).suggest(9, 0)
    assert late == points[9]
    assert QMC(problem, scramble=False).suggest(0, 0) == {"x": 0.0, "y": 0.0}


def test_tpe_is_explicit_about_joint_densities(tools: Any) -> None:
    conditional = tools.spaces["conditional"]
    assert "joint densities" in TPE(Problem(PLANE, ("min",))).reason
    assert "one density per parameter" in TPE(Problem(PLANE, ("min", "max"))).reason
    assert "grouped" in TPE(Problem(conditional, ("min", "max"))).reason
    many = tuple(Param(f"p{i}", Real(0, 1)) for i in range(31))
    assert "joint densities" in TPE(Problem(many, ("min", "max"))).reason
    with pytest.raises(ConfigError, match="group needs multivariate"):
        TPE(Problem(conditional, ("min",)), multivariate=False, group=True)


def test_a_running_trial_is_not_replayed(tools: Any) -> None:
    searcher = TPE(Problem(PLANE, ("min",)))
    stale = tools.ended(0, {"x": 0.1, "y": 0.1}, None, "running")
    searcher.replay([stale])
    assert mirrored(searcher) == []


def test_workers_in_flight_are_kept_apart(tools: Any) -> None:
    searcher = TPE(Problem(PLANE, ("min",), seed=0), n_startup_trials=5)
    tools.run(searcher, 30, score=lambda p: (p["x"] - 0.5) ** 2 + (p["y"] - 0.5) ** 2)
    points = []
    for number in range(30, 36):
        points.append(searcher.suggest(number, 0))
        searcher.start(number, points[-1])
    assert len({(p["x"], p["y"]) for p in points}) == 6
    states = [t.state for t in mirrored(searcher)[30:]]
    assert states == [TrialState.RUNNING] * 6
