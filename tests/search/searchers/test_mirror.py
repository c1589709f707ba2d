from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import NSGAIISampler, RandomSampler, TPESampler
from optuna.trial import TrialState

from search.api.domain import Choice, Integer, Ordinal, Param, Real
from search.searchers.mirror import Mirror, distribution, inside, outside

DOMAINS = [
    Real(-2, 2),
    Real(1e-3, 1, log=True),
    Integer(1, 64, log=True),
    Integer(0, 10, 3),
    Ordinal((2, 8, 32)),
    Choice(("a", 1, True, 1.0)),
]


def test_distributions() -> None:
    assert [distribution(d) for d in DOMAINS] == [
        FloatDistribution(-2, 2),
        FloatDistribution(1e-3, 1, log=True),
        IntDistribution(1, 64, log=True),
        IntDistribution(0, 9, step=3),
        IntDistribution(0, 2),
        CategoricalDistribution(range(4)),
    ]


@given(index=st.integers(0, 5), seed=st.integers(0, 1000))
def test_values_survive_the_way_there_and_back(index: int, seed: int) -> None:
    import random

    domain = DOMAINS[index]
    value = domain.sample(random.Random(seed))
    back = outside(domain, inside(domain, value))
    assert back == value
    assert type(back) is type(value)
    assert distribution(domain)._contains(
        distribution(domain).to_internal_repr(inside(domain, value))
    )


def test_reals_come_out_as_floats_even_at_integer_bounds() -> None:
    assert isinstance(outside(Real(-2, 2), -2.0), float)
    assert isinstance(outside(Real(-2, 2), 3), float)


def test_asking_changes_nothing(tools: Any) -> None:
    mirror = Mirror(tools.spaces["conditional"], ("min", "max"))
    for number in range(8):
        asked = mirror.ask(NSGAIISampler(population_size=3, seed=number), number)
        mirror.start(number, asked.values, asked.attrs, asked.study)
        mirror.finish(number, TrialState.COMPLETE, (1.0, number), {})
    before = (list(mirror.trials), dict(mirror._storage.study_attrs))
    asked = mirror.ask(NSGAIISampler(population_size=3, seed=9), 8)
    assert (mirror.trials, mirror._storage.study_attrs) == before
    assert any("generation" in key for key in asked.attrs)
    assert tools.lies_in(tools.spaces["conditional"], asked.values)


def test_a_failing_sampler_leaves_no_scratch_trial() -> None:
    class Broken(RandomSampler):
        def sample_independent(self, *args: Any) -> Any:
            raise RuntimeError("no")

    mirror = Mirror((Param("x", Real(0, 1)),), ("min",))
    with pytest.raises(RuntimeError):
        mirror.ask(Broken(), 0)
    assert mirror.trials == []


def test_numbers_are_ours_with_gaps_and_sorted() -> None:
    mirror = Mirror((Param("x", Real(0, 1)),), ("min",))
    for number in (0, 7, 3):
        mirror.start(number, {"x": number / 10})
    assert [t.number for t in mirror.trials] == [0, 3, 7]
    assert mirror.ask(TPESampler(seed=0), 3).values != {}
    assert [t.params["x"] for t in mirror.trials] == [0.0, 0.3, 0.7]


def test_the_mirror_reads_as_an_optuna_study() -> None:
    mirror = Mirror((Param("x", Real(0, 1)),), ("max",))
    for number in range(3):
        mirror.start(number, {"x": number / 10})
        mirror.finish(number, TrialState.COMPLETE, (float(number),), {"c": number - 1.0})
    assert mirror.study.best_trial.number == 1  # 2 is better but infeasible
    assert mirror.study.best_params == {"x": 0.1}


def test_attach_replaces_by_prefix() -> None:
    mirror = Mirror((Param("x", Real(0, 1)),), ("min",))
    mirror.start(0, {"x": 0.5}, {"s:0": "old", "s:1": "old", "t": 1})
    mirror.attach(0, {"s:0": "new"}, instead_of="s:")
    assert mirror.trials[0].system_attrs == {"t": 1, "s:0": "new"}
