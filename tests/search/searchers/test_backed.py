from __future__ import annotations

import warnings
from typing import Any

import pytest
from optuna.trial import TrialState

from search.api.domain import Choice, Param, Real, Vector
from search.api.errors import ConfigError
from search.api.searching import Problem
from search.searchers.backed import GATED, OptunaBacked
from search.searchers.optuna_backed import CMAES, GP, NSGA2, QMC, TPE

PLANE = (Param("x", Real(0, 1)), Param("y", Real(0, 1)))
MASK = (Param("keep", Vector(Choice((0, 1)), 8)),)


def mirrored(searcher: OptunaBacked) -> list[Any]:
    return searcher._mirror.trials


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


def test_nobody_is_warned_of_options_we_chose(tools: Any) -> None:
    problem = Problem(tools.spaces["conditional"], ("min",), seed=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # experimental warnings as well
        for cls, options in ((TPE, {}), (QMC, {}), (CMAES, {"with_margin": True})):
            tools.run(cls(problem, **options), 12)
