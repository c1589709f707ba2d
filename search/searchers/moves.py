"""Small steps in a space: seeded streams, mutation by kind of domain, and legal unseen points.

Everything here is a pure function of its arguments; randomness comes in as a stream.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Container, Iterator, Mapping, Sequence

from search.api.domain import (
    Choice,
    Domain,
    Integer,
    Ordinal,
    Param,
    Point,
    Real,
    Scalar,
    ScalarDomain,
    Value,
    Vector,
    is_active,
    point_digest,
    sample_point,
    space_size,
)
from search.api.searching import Problem

ENUMERABLE = 4096
"""Largest number of points that is listed to find the last unseen ones (a few ms)."""

_TRIES = 48
_STEP = 0.15
"""Standard deviation of a step on the unit scale of a real or integer domain."""


def stream(seed: int, number: int, attempt: int, purpose: str = "") -> random.Random:
    """A random stream that depends on the arguments alone, equal in every process and version."""
    return random.Random(f"{seed}/{number}/{attempt}/{purpose}")  # text is hashed with SHA-512


def to_unit(domain: Real | Integer | Ordinal, value: Scalar) -> float:
    """``value`` on the unit scale of an ordered domain (logarithmic where the domain is)."""
    if isinstance(domain, Ordinal):
        steps = len(domain.options) - 1
        return _index(domain.options, value) / steps if steps else 0.5
    low, high, number = float(domain.low), float(domain.high), float(value)
    if low == high:
        return 0.5
    if domain.log:
        return math.log(number / low) / math.log(high / low)
    return (number - low) / (high - low)


def from_unit(domain: Real | Integer | Ordinal, unit: float) -> Scalar:
    """The legal value nearest to ``unit`` in [0, 1]; outside values are clipped."""
    unit = min(1.0, max(0.0, unit))
    if isinstance(domain, Ordinal):
        return domain.options[round(unit * (len(domain.options) - 1))]
    low, high = float(domain.low), float(domain.high)
    number = low * (high / low) ** unit if domain.log else low + unit * (high - low)
    if isinstance(domain, Real):
        return min(high, max(low, number))
    step = min(int(domain.size) - 1, max(0, round((number - low) / domain.step)))
    return domain.low + step * domain.step


def mutate(domain: ScalarDomain, value: Scalar, rng: random.Random) -> Scalar:
    """Another value of ``domain`` near ``value``; the same one only if there is no other.

    Ordinals and integers move by steps (geometrically distributed, at least one), reals by a
    normal step on their scale, categories to any other option. One in ten jumps anywhere.
    """
    if domain.size <= 1:
        return value
    if isinstance(domain, Choice):
        return rng.choice([o for o in domain.options if not _same(o, value)])
    if rng.random() < 0.1:
        jump = domain.sample(rng)
        if not _same(jump, value):
            return jump
    if isinstance(domain, Real):
        return from_unit(domain, reflect(to_unit(domain, value) + rng.gauss(0.0, _STEP)))
    if isinstance(domain, Integer) and domain.size > 8:
        near = from_unit(domain, reflect(to_unit(domain, value) + rng.gauss(0.0, _STEP)))
        if near != value:
            return near
    return _step(domain, value, rng)


def mutate_vector(domain: Vector, value: Sequence[Scalar], rng: random.Random, flips: int) -> Value:
    """``value`` with ``flips`` different entries mutated."""
    entries = list(value)
    for i in rng.sample(range(domain.length), min(flips, domain.length)):
        entries[i] = mutate(domain.element, entries[i], rng)
    return tuple(entries)


def mutate_value(domain: Domain, value: Value, rng: random.Random, flips: int = 1) -> Value:
    """A neighbour of ``value``, scalar or vector."""
    if isinstance(domain, Vector):
        return mutate_vector(domain, value if isinstance(value, tuple) else (), rng, flips)
    return value if isinstance(value, tuple) else mutate(domain, value, rng)


def complete(params: Sequence[Param], values: Mapping[str, Value], rng: random.Random) -> Point:
    """The point that keeps ``values`` of active parameters and draws those that are missing."""
    point: dict[str, Value] = {}
    for param in params:
        if is_active(param, point):
            kept = values.get(param.name)
            legal = kept is not None and param.domain.contains(kept)
            point[param.name] = kept if legal and kept is not None else param.domain.sample(rng)
    return point


def neighbour(
    params: Sequence[Param], point: Point, rng: random.Random, strength: int = 1
) -> Point:
    """``point`` with ``strength`` of its parameters mutated; conditions stay satisfied."""
    movable = [p for p in params if p.name in point and p.domain.size > 1]
    values = dict(point)
    for param in rng.sample(movable, min(strength, len(movable))):
        values[param.name] = mutate_value(param.domain, values[param.name], rng, strength)
    return complete(params, values, rng)


def legal(problem: Problem, point: Point) -> Point | None:
    """``point`` if it breaks no known rule, else its repair, else None."""
    if not problem.check(point):
        return point
    if problem.repair is None:
        return None
    repaired = problem.repair(point)
    return None if problem.check(repaired) else repaired


def settle(
    problem: Problem, point: Point, seen: Container[str], rng: random.Random
) -> Point | None:
    """A legal point that is not in ``seen``: ``point`` itself, its repair, or one near it.

    Looks further and further away, then anywhere. None if the space is small enough to be
    listed and holds no such point; ``point`` (for the study to refuse) if it is just hard to find.
    """
    dims = sum(p.domain.length if isinstance(p.domain, Vector) else 1 for p in problem.params)
    tries = max(8, min(_TRIES, 4000 // max(1, dims)))
    for candidate in _outwards(problem, point, rng, tries):
        found = legal(problem, candidate)
        if found is not None and point_digest(found) not in seen:
            return found
    if space_size(problem.params) > ENUMERABLE:
        return point
    left = [
        p
        for p in every_point(problem.params)
        if point_digest(p) not in seen and not problem.check(p)
    ]
    return rng.choice(left) if left else None


def every_point(
    params: Sequence[Param], values: Mapping[str, Sequence[Value]] | None = None
) -> Iterator[Point]:
    """All points of a finite space, in lexicographic order, each once, conditions respected.

    Args:
        params: parameters, in order.
        values: name -> values to list, for domains that are not to be listed in full.

    Raises:
        ValueError: a domain without listed values is not finite.
    """
    listed = dict(values or {})

    def walk(index: int, point: dict[str, Value]) -> Iterator[Point]:
        if index == len(params):
            yield dict(point)
            return
        param = params[index]
        if not is_active(param, point):
            yield from walk(index + 1, point)
            return
        given = listed.get(param.name)
        for value in domain_values(param.domain) if given is None else given:
            yield from walk(index + 1, {**point, param.name: value})

    return walk(0, {})


def domain_values(domain: Domain) -> Iterator[Value]:
    """All values of a finite domain in order.

    Raises:
        ValueError: the domain is not finite.
    """
    if math.isinf(domain.size) and not isinstance(domain, Vector):
        raise ValueError(f"endless domain: {domain.describe()}")
    if isinstance(domain, Vector):
        return itertools.product(*[list(_scalar_values(domain.element))] * domain.length)
    return _scalar_values(domain)


def _scalar_values(domain: ScalarDomain) -> Iterator[Scalar]:
    if isinstance(domain, (Ordinal, Choice)):
        return iter(domain.options)
    if isinstance(domain, Integer):
        return iter(range(domain.low, domain.high + 1, domain.step))
    if domain.low == domain.high:
        return iter((float(domain.low),))
    raise ValueError(f"endless domain: {domain.describe()}")


def _outwards(problem: Problem, point: Point, rng: random.Random, tries: int) -> Iterator[Point]:
    yield point
    for i in range(tries):
        yield neighbour(problem.params, point, rng, 1 + i // 6)
    for _ in range(tries):
        yield sample_point(problem.params, rng)


def _step(domain: Real | Integer | Ordinal, value: Scalar, rng: random.Random) -> Scalar:
    """A neighbour on the grid of an ordered finite domain, at least one step away."""
    if isinstance(domain, Real):
        return value
    options = domain.options if isinstance(domain, Ordinal) else None
    at = (
        _index(options, value) if options is not None else (int(value) - domain.low) // domain.step  # type: ignore[union-attr]
    )
    last = int(domain.size) - 1
    distance = 1
    while rng.random() < 0.3 and distance < last:
        distance += 1
    to = at + (distance if rng.random() < 0.5 else -distance)
    if not 0 <= to <= last:
        to = 2 * at - to
    to = min(last, max(0, to))
    if to == at:
        to = at + 1 if at < last else at - 1
    if options is not None:
        return options[to]
    return domain.low + to * domain.step  # type: ignore[union-attr]


def reflect(unit: float) -> float:
    """Fold a step over a border back into [0, 1], so that borders are no traps."""
    unit = abs(unit) % 2.0
    return 2.0 - unit if unit > 1.0 else unit


def _same(a: Scalar, b: Scalar) -> bool:
    return type(a) is type(b) and a == b


def _index(options: tuple[Scalar, ...], value: Scalar) -> int:
    return next(i for i, option in enumerate(options) if _same(option, value))
