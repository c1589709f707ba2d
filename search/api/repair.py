"""Move an illegal point to a near legal one, for any parameters and any rules.

Used where a space has no repair of its own. The rules are a black box that gives violations; a
point is changed one parameter at a time, along the way on which the total excess falls most, and
no further than needed. Work is bounded: the rules are asked at most ``max_checks`` times.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence

from search.api.candidate import Violation
from search.api.domain import (
    Integer,
    Param,
    Point,
    Real,
    Scalar,
    ScalarDomain,
    Value,
    Vector,
    is_active,
)
from search.api.errors import InfeasibleCandidate
from search.api.ways import VectorWay, Way, scalar_ways, targets

Check = Callable[[Point], Sequence[Violation]]

_SHRINK_ENTRIES = 20_000  # looked at, at most, to put entries back


def repair(
    point: Mapping[str, Value],
    params: Sequence[Param],
    check: Check,
    rng: random.Random,
    *,
    max_checks: int = 4000,
) -> dict[str, Value]:
    """A legal point near ``point``; a legal one comes back with the same values.

    Values outside their domain, and missing or inactive parameters, are put right first. Names
    that are not in ``params`` are kept.

    Args:
        point: any values.
        params: all parameters, in order.
        check: the rules; empty means legal. Falling excess must mean coming nearer.
        rng: breaks ties between entries of a vector.
        max_checks: bound of the work.

    Raises:
        InfeasibleCandidate: no legal point was found; carries what is broken where it stopped.
    """
    search = _Search(params, check, rng, max_checks)
    if not check(point):
        return dict(point)
    start = current = _in_domain(point, params, rng)
    excess = search.excess(current)
    while excess > 0:
        better = search.step(current, excess)
        if better is None:
            raise InfeasibleCandidate(check(current))
        current, excess = better
    return search.shrink(start, current)


def _in_domain(
    point: Mapping[str, Value], params: Sequence[Param], rng: random.Random
) -> dict[str, Value]:
    """``point`` with every active parameter in its domain and no inactive one."""
    names = {param.name for param in params}
    fixed = {name: value for name, value in point.items() if name not in names}
    for param in params:
        if is_active(param, fixed):
            value = point.get(param.name)
            fixed[param.name] = (
                param.domain.sample(rng) if value is None else _nearest(value, param.domain, rng)
            )
    return fixed


def _nearest(value: Value, domain: ScalarDomain | Vector, rng: random.Random) -> Value:
    if domain.contains(value):
        return value
    if isinstance(domain, Vector):
        entries = value if isinstance(value, tuple) else (value,)
        near = [_nearest_scalar(v, domain.element, rng) for v in entries[: domain.length]]
        return tuple(near) + tuple(
            domain.element.sample(rng) for _ in range(domain.length - len(near))
        )
    return domain.sample(rng) if isinstance(value, tuple) else _nearest_scalar(value, domain, rng)


def _nearest_scalar(value: Scalar, domain: ScalarDomain, rng: random.Random) -> Scalar:
    if domain.contains(value):
        return value
    if isinstance(value, (bool, str)) or not math.isfinite(value):
        return domain.sample(rng)
    if isinstance(domain, Real):
        return min(domain.high, max(domain.low, float(value)))
    if isinstance(domain, Integer):
        index = round((value - domain.low) / domain.step)
        return domain.low + domain.step * min(int(domain.size) - 1, max(0, index))
    numbers = [o for o in domain.options if not isinstance(o, (bool, str))]
    return min(numbers, key=lambda o: abs(o - value)) if numbers else domain.sample(rng)


class _Search:
    """Greedy descent on the total excess."""

    def __init__(
        self, params: Sequence[Param], check: Check, rng: random.Random, max_checks: int
    ) -> None:
        self.params, self.check, self.rng, self.left = params, check, rng, max_checks

    def excess(self, point: Point) -> float:
        """Total excess of all violations of ``point``; uses up one check."""
        self.left -= 1
        return math.fsum(min(v.excess, 1e300) for v in self.check(point))

    def step(self, point: dict[str, Value], excess: float) -> tuple[dict[str, Value], float] | None:
        """The best change of one parameter: legal with the fewest steps, or else least excess."""
        best: tuple[float, float, dict[str, Value]] | None = None
        for param in self.params:
            if param.name not in point:
                continue
            for way in self.ways(param, point[param.name]):
                if self.left <= 0:
                    break
                found = self.walk(point, param, way)
                if found is None or found[0] >= excess:
                    continue
                if best is None or found[:2] < best[:2]:
                    best = found
        return None if best is None else (best[2], best[0])

    def ways(self, param: Param, value: Value) -> Iterator[Way]:
        """Ways that ``value`` of ``param`` may go; nearest ends first."""
        if isinstance(param.domain, Vector):
            yield from self.vector_ways(param.domain, value)  # type: ignore[arg-type]
        else:
            yield from scalar_ways(param.domain, value)  # type: ignore[arg-type]

    def vector_ways(self, domain: Vector, value: tuple[Scalar, ...]) -> Iterator[Way]:
        order = list(range(domain.length))
        self.rng.shuffle(order)
        for target in targets(domain.element, self.rng):
            yield VectorWay(value, target, [i for i in order if value[i] != target])

    def walk(
        self, point: dict[str, Value], param: Param, way: Way
    ) -> tuple[float, float, dict[str, Value]] | None:
        """(excess, share of the way, point) where the excess is least, as early as possible."""
        last = len(way)
        if last == 0:
            return None

        def at(step: int) -> dict[str, Value]:
            return self.moved(point, param, way.at(step))

        at_end = self.excess(at(last))
        low, high = 0, last
        while high - low > 1 and self.left > 0:
            middle = (low + high) // 2
            here = self.excess(at(middle))
            # A legal end: find the first legal step. Otherwise the excess falls, is least, and
            # may rise again: follow the fall.
            falling = here > 0 and (at_end <= 0 or here > self.excess(at(middle + 1)))
            low, high = (middle, high) if falling else (low, middle)
        end = at_end if high == last else self.excess(at(high))
        step, value = (high, end) if end <= at_end else (last, at_end)
        return value, way.cost(step), at(step)

    def shrink(self, start: Mapping[str, Value], legal: dict[str, Value]) -> dict[str, Value]:
        """``legal`` with vector entries put back to those of ``start`` where that stays legal."""
        entries = sum(len(v) for v in legal.values() if isinstance(v, tuple))
        # Checks of long vectors take long themselves: the bound is on entries looked at.
        self.left = min(self.left, _SHRINK_ENTRIES // max(1, entries))
        for param in self.params:
            old, new = start.get(param.name), legal.get(param.name)
            if not isinstance(old, tuple) or not isinstance(new, tuple) or len(old) != len(new):
                continue
            changed = [i for i in range(len(new)) if new[i] != old[i]]
            size = len(changed)
            while size and self.left > 0:
                for first in range(0, len(changed), size):
                    back = set(changed[first : first + size])
                    now = legal[param.name]
                    trial = tuple(old[i] if i in back else v for i, v in enumerate(now))  # type: ignore[arg-type]
                    if trial != now and self.left > 0:
                        moved = self.moved(legal, param, trial)
                        legal = moved if self.excess(moved) <= 0 else legal
                size //= 2
        return legal

    def moved(self, point: Mapping[str, Value], param: Param, value: Value) -> dict[str, Value]:
        """``point`` with ``param`` at ``value``, and conditional parameters put right."""
        new = dict(point)
        new[param.name] = value
        if any(param.name in other.when for other in self.params):
            # A parameter that becomes active gets a middle value: the same on every visit.
            for other in self.params:
                if not is_active(other, new):
                    new.pop(other.name, None)
                elif other.name not in new:
                    new[other.name] = _middle(other.domain)
        return new


def _middle(domain: ScalarDomain | Vector) -> Value:
    if isinstance(domain, Vector):
        return (_middle_scalar(domain.element),) * domain.length
    return _middle_scalar(domain)


def _middle_scalar(domain: ScalarDomain) -> Scalar:
    if isinstance(domain, Real):
        return math.sqrt(domain.low * domain.high) if domain.log else (domain.low + domain.high) / 2
    if isinstance(domain, Integer):
        return domain.low + domain.step * ((int(domain.size) - 1) // 2)
    return domain.options[len(domain.options) // 2]
