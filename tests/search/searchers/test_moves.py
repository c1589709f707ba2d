from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.api.candidate import Violation
from search.api.domain import (
    Choice,
    Integer,
    Ordinal,
    Param,
    Point,
    Real,
    ScalarDomain,
    Vector,
    point_digest,
)
from search.api.searching import Problem
from search.searchers.moves import (
    complete,
    domain_values,
    every_point,
    from_unit,
    legal,
    mutate,
    mutate_vector,
    neighbour,
    settle,
    stream,
    to_unit,
)

NUMBERS = st.one_of(
    st.builds(
        lambda low, width, log: Real(low, low + width, log),
        st.floats(1e-3, 10),
        st.floats(0, 100),
        st.booleans(),
    ),
    st.builds(
        lambda low, width, step: Integer(low, low + width, step),
        st.integers(-5, 5),
        st.integers(0, 60),
        st.integers(1, 7),
    ),
    st.builds(
        lambda low, width: Integer(low, low + width, 1, True), st.integers(1, 5), st.integers(0, 99)
    ),
    st.integers(1, 6).map(lambda n: Ordinal(tuple(2**i for i in range(n)))),
)
DOMAINS = st.one_of(NUMBERS, st.just(Choice(("a", 1, True, 1.0))))


def test_streams_do_not_depend_on_the_process() -> None:
    assert stream(1, 2, 3).random() == stream(1, 2, 3).random()
    draws = {stream(*key).random() for key in ((1, 2, 3), (1, 2, 4), (1, 3, 3), (2, 2, 3))}
    assert len(draws) == 4
    # A number written down: another process, machine or hash seed must give it as well.
    assert stream(0, 0, 0).getrandbits(16) == 20501


@given(domain=NUMBERS, unit=st.floats(-1, 2))
def test_units_go_to_legal_values_and_back(domain: Any, unit: float) -> None:
    value = from_unit(domain, unit)
    assert domain.contains(value)
    assert from_unit(domain, to_unit(domain, value)) == pytest.approx(value)


@given(domain=DOMAINS, seed=st.integers(0, 10**6))
def test_a_mutation_is_legal_and_different(domain: ScalarDomain, seed: int) -> None:
    rng = random.Random(seed)
    value = domain.sample(rng)
    for _ in range(5):
        new = mutate(domain, value, rng)
        assert domain.contains(new)
        assert isinstance(domain, Choice) or isinstance(new, type(value))
        if domain.size > 1 and not isinstance(domain, Real):
            assert (type(new), new) != (type(value), value)
        value = new


def test_ordinals_mostly_move_to_neighbours() -> None:
    domain = Ordinal(tuple(range(100, 110)))
    rng = random.Random(0)
    steps = [abs(mutate(domain, 104, rng) - 104) for _ in range(500)]  # type: ignore[operator]
    assert steps.count(1) > 250
    assert max(steps) > 2


def test_a_vector_changes_in_as_many_entries_as_asked() -> None:
    domain = Vector(Choice((0, 1)), 30)
    before = domain.sample(random.Random(1))
    for flips in (1, 4, 30, 99):
        after = mutate_vector(domain, before, random.Random(2), flips)
        assert domain.contains(after)
        assert sum(a != b for a, b in zip(before, after, strict=True)) == min(flips, 30)  # type: ignore[arg-type]


@given(seed=st.integers(0, 10**6), strength=st.integers(1, 9))
def test_neighbours_keep_conditions(seed: int, strength: int) -> None:
    params = (
        Param("a", Choice(("p", "q"))),
        Param("b", Integer(0, 3), when={"a": ("p",)}),
        Param("v", Vector(Ordinal((1, 2)), 3), when={"b": (0, 1)}),
    )
    rng = random.Random(seed)
    point = complete(params, {}, rng)
    other = neighbour(params, point, rng, strength)
    assert other != point
    assert ("b" in other) == (other["a"] == "p")
    assert ("v" in other) == (other.get("b") in (0, 1))


def test_complete_keeps_only_legal_values_of_active_parameters() -> None:
    params = (Param("a", Choice(("p", "q"))), Param("b", Integer(0, 3), when={"a": ("p",)}))
    assert complete(params, {"a": "q", "b": 2}, random.Random(0)) == {"a": "q"}
    assert complete(params, {"a": "p", "b": 9}, random.Random(0))["b"] in range(4)


def test_legal_repairs_or_gives_up(tools: Any) -> None:
    problem = tools.mask_problem(10)
    full: Point = {"keep": (1,) * 10}
    repaired = legal(problem, full)
    assert repaired is not None
    assert not problem.check(repaired)
    assert legal(tools.mask_problem(10, repair=None), full) is None
    empty: Point = {"keep": (0,) * 10}
    assert legal(problem, empty) is empty


def test_settle_prefers_the_point_then_its_surroundings() -> None:
    params = tuple(Param(f"p{i}", Integer(0, 9)) for i in range(8))
    problem = Problem(params, ("min",))
    point: Point = {p.name: 5 for p in params}
    assert settle(problem, point, set(), random.Random(0)) == point
    near = settle(problem, point, {point_digest(point)}, random.Random(0))
    assert near is not None
    assert sum(near[n] != 5 for n in point) == 1


def test_settle_finds_the_last_point_of_a_small_space_and_then_none() -> None:
    params = (Param("v", Vector(Choice((0, 1)), 8)),)
    problem = Problem(params, ("min",))
    points = list(every_point(params))
    last = points.pop(77)
    seen = {point_digest(p) for p in points}
    assert settle(problem, points[0], seen, random.Random(0)) == last
    seen.add(point_digest(last))
    assert settle(problem, points[0], seen, random.Random(0)) is None


def test_settle_returns_the_point_if_nothing_legal_is_near() -> None:
    def check(point: Point) -> tuple[Violation, ...]:
        return (Violation("never", "nothing is legal", 1, "1"),)

    problem = Problem((Param("x", Real(0, 1)),), ("min",), check=check)
    assert settle(problem, {"x": 0.5}, set(), random.Random(0)) == {"x": 0.5}


def test_every_point_in_order_with_conditions_and_listed_values() -> None:
    params = (
        Param("a", Choice(("p", "q"))),
        Param("x", Real(0, 1), when={"a": ("p",)}),
        Param("k", Integer(1, 5, 2)),
    )
    points = list(every_point(params, {"x": [0.0, 1.0]}))
    assert len(points) == 2 * 3 + 3
    assert points[0] == {"a": "p", "x": 0.0, "k": 1}
    assert points[-1] == {"a": "q", "k": 5}
    with pytest.raises(ValueError, match="endless"):
        list(every_point(params))


def test_domain_values() -> None:
    assert list(domain_values(Vector(Choice((0, 1)), 2))) == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert list(domain_values(Real(2, 2))) == [2.0]
    with pytest.raises(ValueError, match="endless"):
        list(domain_values(Real(0, 1)))
