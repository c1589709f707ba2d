from __future__ import annotations

import random
import statistics
from typing import Any

import pytest

from search.api.errors import ConfigError
from search.api.searching import Problem
from search.searchers.amc import Amc, truncated
from search.searchers.random_search import RandomSearch


def test_pruning_ratios_beat_random_by_far(tools: Any) -> None:
    means = []
    for cls in (Amc, RandomSearch):
        best = []
        for seed in range(2):
            problem, _ = tools.ratio_problem(seed, 60)
            trials = tools.run(cls(problem), 60, score=tools.damage)
            assert not any(problem.check(t.point) for t in trials)
            best.append(min(t.values[0] for t in trials))
        means.append(statistics.mean(best))
    assert means[0] < 0.85 * means[1]


def test_measured_constraints_are_left(tools: Any) -> None:
    late = []
    for cls in (Amc, RandomSearch):
        problem, used = tools.ratio_problem(1, 60, known=False)
        trials = tools.run(
            cls(problem), 60, score=tools.damage, excess=lambda p, u=used: {"size": u(p) - 0.25}
        )
        late.append(sum(t.feasible for t in trials[40:]))
    assert late[0] > 13 > late[1]


def test_warm_up_is_random_and_noise_decays(tools: Any) -> None:
    problem, _ = tools.ratio_problem(0, 100)
    searcher = Amc(problem)
    assert searcher.sigma(0) == searcher.sigma(25) == 0.5
    assert searcher.sigma(99) == searcher.sigma(300) == pytest.approx(0.05)
    assert Amc(problem, decay=0.99).sigma(26) == pytest.approx(0.495)
    assert Amc(problem, sigma=0.02).sigma(99) == pytest.approx(0.02)
    assert "25 random trials" in searcher.reason
    ahead = Amc(problem)
    tools.run(searcher, 5, score=tools.damage)
    assert searcher.suggest(24, 0) == ahead.suggest(24, 0)  # nothing learnt decides yet


def test_two_objectives_give_one_policy_for_all_weights(tools: Any) -> None:
    problem, used = tools.ratio_problem(0, 60, goals=("min", "min"))
    searcher = Amc(problem, hidden=(32,), warmup=12, updates=3)
    for number in range(30):
        point = searcher.suggest(number, 0)
        assert point is not None
        assert not problem.check(point)
        searcher.start(number, point)
        searcher.finish(tools.ended(number, point, (used(point), tools.damage(point))))
    assert "weights" in searcher.reason


def test_noise_is_truncated_not_clipped() -> None:
    rng = random.Random(0)
    drawn = [truncated(0.9, 0.5, rng) for _ in range(500)]
    assert 0 < min(drawn) < max(drawn) < 1
    assert truncated(1.0, 1e-9, rng) == pytest.approx(1.0)
    assert truncated(7.0, 1e-9, rng) == 1.0


def test_options_of_the_paper_are_accepted(tools: Any) -> None:
    problem = Problem(tools.spaces["conditional"], ("max",), trials=30)
    searcher = Amc(
        problem, hidden=(300, 300), bootstrap=1.0, decay=0.99, actor_lr=1e-4, warmup=3, updates=2
    )
    assert len(tools.run(searcher, 6)) == 6
    assert "300/300" in searcher.reason
    with pytest.raises(ConfigError, match="hidden"):
        Amc(problem, hidden=())
