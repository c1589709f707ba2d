from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.api.domain import Choice, Integer, Ordinal, Param, Real, Vector
from search.api.searching import Problem
from search.searchers.history import History
from search.searchers.vectors import VectorBreeder, VectorProposals, stratified, stratum_of

ELEMENTS = st.sampled_from(
    [
        Choice((0, 1)),
        Choice(("a", "b", "c")),
        Choice(("only",)),
        Ordinal((1, 2, 4, 8)),
        Integer(0, 100, 5),
        Real(0.1, 10, log=True),
    ]
)


@given(element=ELEMENTS, length=st.integers(1, 20), stratum=st.floats(0, 1), seed=st.integers())
def test_stratified_vectors_are_legal(element: Any, length: int, stratum: float, seed: int) -> None:
    domain = Vector(element, length)
    assert domain.contains(stratified(domain, stratum, random.Random(seed)))


def test_the_stratum_is_the_density() -> None:
    domain = Vector(Choice(("x2act", "relu")), 400)
    for stratum in (0.0, 0.1, 0.5, 0.9, 1.0):
        drawn = stratified(domain, stratum, random.Random(0))
        assert drawn.count("relu") / 400 == pytest.approx(stratum, abs=0.06)


def test_strata_spread_evenly() -> None:
    assert [stratum_of(n) for n in range(4)] == [0.5, 0.25, 0.75, 0.125]
    assert sorted(int(16 * stratum_of(n)) for n in range(15)) == list(range(1, 16))


def learnt(problem: Problem, count: int, tools: Any, sign: float = 1.0) -> VectorProposals:
    """Proposals after ``count`` random trials whose loss counts zeros (or ones)."""
    history = History(problem)
    proposals = VectorProposals(problem, history, initial=5)
    rng = random.Random(0)
    for number in range(count):
        point = proposals.propose({}, number, (), rng)
        history.start(number, point)
        loss = -sign * sum(point["keep"])  # type: ignore[arg-type]
        proposals.learn(history.finish(tools.ended(number, point, (loss,))))
    return proposals


def test_first_vectors_fill_the_budget_of_one_objective_only(tools: Any) -> None:
    one = tools.mask_problem(40)
    two = Problem(one.params, ("min", "min"), check=one.check, repair=one.repair)
    sums: list[set[int]] = []
    for problem in (one, two):
        proposals = VectorProposals(problem, History(problem))
        points = [proposals.propose({}, n, (), random.Random(n)) for n in range(12)]
        assert problem is two or not any(map(problem.check, points))
        sums.append({sum(p["keep"]) for p in points})  # type: ignore[arg-type]
    assert min(sums[0]) > 12
    assert min(sums[1]) < 8
    assert max(sums[1]) > 30


def test_breeding_finds_the_good_option(tools: Any) -> None:
    for sign in (1.0, -1.0):
        problem = Problem((Param("keep", Vector(Choice((0, 1)), 30)),), ("min",))
        proposals = learnt(problem, 40, tools, sign)
        assert proposals.warm
        rng = random.Random(1)
        built = [proposals.propose({}, 50, proposals.parents(rng), rng)["keep"] for _ in range(20)]
        mean = sum(sum(b) for b in built) / 600  # type: ignore[arg-type]
        assert mean > 0.8 if sign > 0 else mean < 0.2


def test_bred_vectors_keep_to_the_budget(tools: Any) -> None:
    problem = tools.mask_problem(40)
    proposals = learnt(problem, 30, tools)
    rng = random.Random(2)
    for _ in range(50):
        point = proposals.propose({}, 50, proposals.parents(rng), rng)
        assert not problem.check(point)


def test_a_budget_is_not_filled_if_using_it_harms(tools: Any) -> None:
    problem = tools.mask_problem(40)
    history = History(problem)
    proposals = VectorProposals(problem, history, initial=5)
    rng = random.Random(0)
    for number in range(60):
        keep = tuple(int(rng.random() < rng.choice((0.1, 0.2, 0.3))) for _ in range(40))
        trial = tools.ended(number, {"keep": keep}, (float(sum(keep)),))
        history.start(number, trial.point)
        proposals.learn(history.finish(trial))
    ones = []
    for _ in range(40):
        ones.append(sum(proposals.propose({}, 70, proposals.parents(rng), rng)["keep"]))  # type: ignore[arg-type]
    assert sorted(ones)[20] < 6


def test_unmodelled_elements_are_varied(tools: Any) -> None:
    params = (Param("r", Vector(Real(0, 1), 12)),)
    problem = Problem(params, ("min",))
    history = History(problem)
    proposals = VectorProposals(problem, history, initial=2)
    rng = random.Random(0)
    for number in range(4):
        point = proposals.propose({}, number, (), rng)
        proposals.learn(history.finish(tools.ended(number, point, (float(number),))))
    parents = proposals.parents(rng)
    child = proposals.propose({}, 5, parents, rng)["r"]
    sources = {e for m in parents for e in m.point["r"]}  # type: ignore[union-attr]
    assert isinstance(child, tuple)
    assert 4 <= sum(e in sources for e in child) <= 11
    assert params[0].domain.contains(child)


def test_only_vectors_can_be_bred() -> None:
    param = Param("x", Real(0, 1))
    with pytest.raises(TypeError, match="expected a vector"):
        VectorBreeder(Problem((param,), ("min",)), param)
