from __future__ import annotations

from typing import Any

import pytest

from search.api.domain import Choice, Integer, Param, Real
from search.api.errors import ConfigError
from search.api.searching import Problem
from search.searchers.optuna_backed import CMAES, QMC

PLANE = (Param("x", Real(0, 1)), Param("y", Real(0, 1)))


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


def test_qmc_walks_one_sequence(tools: Any) -> None:
    problem = Problem(PLANE, ("min",), seed=7)
    points = [t.point for t in tools.run(QMC(problem), 16)]
    for axis in ("x", "y"):  # a (0, 4, 2)-net: one point per sixteenth of every axis
        assert sorted(int(16 * p[axis]) for p in points) == list(range(16))
    late = QMC(problem).suggest(9, 0)
    assert late == points[9]
    assert QMC(problem, scramble=False).suggest(0, 0) == {"x": 0.0, "y": 0.0}
