"""Domains, points and conditions: what is sampled is legal, and a point survives its JSON form."""

from __future__ import annotations

import json
import math
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search.api.domain import (
    Choice,
    Domain,
    Integer,
    Ordinal,
    Param,
    Real,
    Scalar,
    ScalarDomain,
    Value,
    Vector,
    active_params,
    canonical,
    is_active,
    point_digest,
    point_from_json,
    sample_point,
    space_size,
)

quick = settings(max_examples=60, deadline=None)

FINITE = st.floats(-1e9, 1e9)
POSITIVE = st.floats(1e-9, 1e9)
SCALARS = st.one_of(st.booleans(), st.integers(), FINITE, st.text(max_size=5))
POINTS = st.dictionaries(
    st.text(min_size=1, max_size=8),
    st.one_of(SCALARS, st.lists(SCALARS, max_size=5).map(tuple)),
    max_size=5,
)


@st.composite
def reals(draw: st.DrawFn) -> Real:
    log = draw(st.booleans())
    low, high = sorted(draw(st.tuples(*2 * [POSITIVE if log else FINITE])))
    return Real(low, high, log=log)


@st.composite
def integers(draw: st.DrawFn) -> Integer:
    log = draw(st.booleans())
    low = draw(st.integers(1 if log else -1000, 1000))
    step = 1 if log else draw(st.integers(1, 7))
    return Integer(low, low + draw(st.integers(0, 1000)), step, log=log)


def options() -> st.SearchStrategy[tuple[Scalar, ...]]:
    by_type = st.lists(SCALARS, min_size=1, max_size=6, unique_by=lambda o: (type(o).__name__, o))
    return by_type.map(tuple)


SCALAR_DOMAINS: st.SearchStrategy[ScalarDomain] = st.one_of(
    reals(), integers(), options().map(Choice), options().map(Ordinal)
)
DOMAINS: st.SearchStrategy[Domain] = st.one_of(
    SCALAR_DOMAINS, st.builds(Vector, SCALAR_DOMAINS, st.integers(1, 6))
)

TREE = (
    Param("kind", Choice(("relu", "poly"))),
    Param("degree", Integer(2, 4), when={"kind": ("poly",)}),
    Param("scale", Real(0.1, 1.0), when={"degree": (3, 4)}),
)


@quick
@given(DOMAINS, st.integers())
def test_a_sample_lies_in_its_domain(domain: Domain, seed: int) -> None:
    assert domain.contains(domain.sample(random.Random(seed)))


@quick
@given(DOMAINS, st.integers())
def test_a_sample_depends_on_the_seed_alone(domain: Domain, seed: int) -> None:
    assert domain.sample(random.Random(seed)) == domain.sample(random.Random(seed))


@quick
@given(SCALAR_DOMAINS, st.integers(1, 5), st.integers())
def test_a_vector_needs_its_length(element: ScalarDomain, length: int, seed: int) -> None:
    value = Vector(element, length).sample(random.Random(seed))
    assert not Vector(element, length + 1).contains(value)
    assert not element.contains(value)


@quick
@given(integers())
def test_every_integer_of_the_grid_is_sampled(domain: Integer) -> None:
    small = Integer(domain.low, min(domain.high, domain.low + 3 * domain.step), domain.step)
    rng = random.Random(0)
    assert len({small.sample(rng) for _ in range(200)}) == small.size


@quick
@given(POINTS)
def test_a_point_survives_its_json_form(point: dict[str, Value]) -> None:
    again = point_from_json(json.loads(canonical(point)))
    assert again == point
    assert point_digest(again) == point_digest(point)


@quick
@given(POINTS, st.randoms())
def test_the_digest_heeds_no_order_of_keys(point: dict[str, Value], rng: random.Random) -> None:
    names = list(point)
    rng.shuffle(names)
    assert point_digest({name: point[name] for name in names}) == point_digest(point)


@quick
@given(POINTS, POINTS)
def test_different_points_have_different_digests(a: dict[str, Value], b: dict[str, Value]) -> None:
    if a != b:
        assert point_digest(a) != point_digest(b)


@pytest.mark.parametrize("pair", [(1, True), (1, 1.0), (1, "1"), ((1,), 1), ((0, 1), (1, 0))])
def test_types_and_order_enter_the_digest(pair: tuple[Value, Value]) -> None:
    a, b = pair
    assert point_digest({"x": a}) != point_digest({"x": b})


def test_the_digest_never_changes() -> None:
    """Stored studies find their trials again by it."""
    assert canonical({"b": (1, 0), "a": 0.5}) == '{"a":0.5,"b":[1,0]}'
    assert point_digest({"b": (1, 0), "a": 0.5}) == "6f3974de4b677b72"


def test_nan_is_no_point() -> None:
    with pytest.raises(ValueError, match="Out of range float"):
        canonical({"x": math.nan})


@pytest.mark.parametrize("value", [None, {"a": 1}, [[1]], [None]])
def test_only_scalars_and_lists_of_them_are_read(value: object) -> None:
    with pytest.raises(ValueError, match="x: expected a scalar or a list of scalars"):
        point_from_json({"x": value})


@quick
@given(st.integers())
def test_sampled_points_have_the_active_parameters(seed: int) -> None:
    point = sample_point(TREE, random.Random(seed))
    assert [p.name for p in active_params(TREE, point)] == list(point)
    assert ("degree" in point) == (point["kind"] == "poly")
    assert ("scale" in point) == (point.get("degree") in (3, 4))


def test_a_parameter_below_an_inactive_one_is_inactive() -> None:
    assert not is_active(TREE[2], {"kind": "relu"})
    assert is_active(TREE[2], {"kind": "poly", "degree": 3})
    assert not is_active(TREE[2], {"kind": "poly", "degree": 2})


@pytest.mark.parametrize(
    ("domain", "value"),
    [
        (Real(0, 1), True),
        (Real(0, 1), math.nan),
        (Real(0, 1), 1.1),
        (Integer(0, 8, 2), 3),
        (Integer(0, 8), 2.0),
        (Integer(0, 8), True),
        (Choice((0, 1)), True),
        (Choice((0, 1)), 0.0),
        (Ordinal((2, 4)), 3),
        (Vector(Integer(0, 1), 2), (0, 2)),
    ],
)
def test_values_outside_are_refused(domain: Domain, value: Value) -> None:
    assert not domain.contains(value)


@pytest.mark.parametrize(
    ("kind", "arguments", "message"),
    [
        (Real, (0, math.inf), "bounds must be finite"),
        (Real, (1, 0), r"low must not exceed high \(got \[1, 0\]\)"),
        (Real, (0, 1, True), "a log scale needs low > 0"),
        (Integer, (1, 0), "low must not exceed high"),
        (Integer, (0, 1, 0), r"step must be at least 1 \(got 0\)"),
        (Integer, (1, 9, 2, True), "a log scale needs low > 0 and step 1"),
        (Choice, ((),), "at least one option"),
        (Ordinal, ((1, 1),), "options must differ"),
        (Vector, (Choice((0, 1)), 0), r"length must be at least 1 \(got 0\)"),
    ],
)
def test_impossible_domains_are_refused(kind: Any, arguments: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        kind(*arguments)


@pytest.mark.parametrize(
    ("domain", "size", "words"),
    [
        (Real(0, 1), math.inf, "a number in [0, 1]"),
        (Real(1, 1, log=True), 1, "a number in [1, 1] (log scale)"),
        (Integer(0, 9, 4), 3, "an integer in [0, 9] in steps of 4"),
        (Choice(("a", 1)), 2, "one of 'a', 1"),
        (Vector(Choice((0, 1)), 3), 8, "a list of 3 entries, each one of 0, 1"),
        (Vector(Choice((0, 1)), 5000), math.inf, "a list of 5000 entries, each one of 0, 1"),
    ],
)
def test_domains_tell_their_size_and_themselves(domain: Domain, size: float, words: str) -> None:
    assert domain.size == size
    assert domain.describe() == words
    assert space_size([Param("x", domain), Param("y", Integer(1, 2))]) == 2 * size
