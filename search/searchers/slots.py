"""A space as a sequence of decisions: one per scalar, one per entry of a vector.

Policies decide one after the other. Which decisions come depends on those before, since an
inactive conditional parameter asks for none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from search.api.domain import (
    Choice,
    Integer,
    Ordinal,
    Param,
    Point,
    Scalar,
    ScalarDomain,
    Value,
    Vector,
    is_active,
)
from search.searchers.moves import domain_values, from_unit, to_unit

_FEW = 16
"""Integers with at most so many values share [0, 1] out equally; others are rounded to."""


@dataclass(frozen=True)
class Slot:
    """One decision.

    Args:
        index: among all slots of the space, from 0.
        param: number of its parameter, from 0.
        domain: what is chosen from.
    """

    index: int
    param: int
    domain: ScalarDomain


class Slots:
    """All decisions that a space may ask for.

    Args:
        params: outer parameters, in order.
    """

    def __init__(self, params: Sequence[Param]) -> None:
        self._params = params
        self._groups: list[list[Slot]] = []
        self.all: list[Slot] = []
        for number, param in enumerate(params):
            vector = param.domain if isinstance(param.domain, Vector) else None
            element = param.domain.element if isinstance(param.domain, Vector) else param.domain
            first = len(self.all)
            count = vector.length if vector is not None else 1
            group = [Slot(first + i, number, element) for i in range(count)]
            self._groups.append(group)
            self.all += group

    def build(self, choose: Callable[[Slot], Scalar]) -> Point:
        """The point that ``choose`` makes, asked slot by slot in order, active ones only."""
        point: dict[str, Value] = {}
        for param, group in zip(self._params, self._groups, strict=True):
            if is_active(param, point):
                chosen = tuple(choose(slot) for slot in group)
                point[param.name] = chosen if isinstance(param.domain, Vector) else chosen[0]
        return point

    def read(self, point: Point) -> Iterator[tuple[Slot, Scalar]]:
        """The decisions that lead to ``point``, in order."""
        for param, group in zip(self._params, self._groups, strict=True):
            value = point.get(param.name)
            if value is not None:
                yield from zip(group, value if isinstance(value, tuple) else (value,), strict=True)


def value_of(domain: ScalarDomain, action: float) -> Scalar:
    """The value that an action in [0, 1] means; a few options share the interval out equally."""
    if isinstance(domain, (Choice, Ordinal)):
        return domain.options[_part(action, len(domain.options))]
    if isinstance(domain, Integer) and domain.size <= _FEW:
        return domain.low + domain.step * _part(action, int(domain.size))
    return from_unit(domain, action)


def action_of(domain: ScalarDomain, value: Scalar) -> float:
    """An action in [0, 1] that means ``value``, in the middle of those that do."""
    if isinstance(domain, (Choice, Ordinal)):
        return (_place(domain.options, value) + 0.5) / len(domain.options)
    if isinstance(domain, Integer) and domain.size <= _FEW:
        return ((int(value) - domain.low) // domain.step + 0.5) / int(domain.size)
    return to_unit(domain, value)


def options_of(domain: ScalarDomain, bins: int) -> tuple[Scalar, ...]:
    """All values of a small domain; else at most ``bins`` of them, ends included, evenly spaced
    (on the domain's scale).
    """
    if isinstance(domain, (Choice, Ordinal)):
        return domain.options
    if domain.size <= bins:
        return tuple(v for v in domain_values(domain) if not isinstance(v, tuple))
    grid = [from_unit(domain, i / (bins - 1)) for i in range(bins)]
    return tuple(dict.fromkeys(grid))


def nearest(domain: ScalarDomain, options: Sequence[Scalar], value: Scalar) -> int:
    """Index of the option that is ``value``, or next to it on the domain's scale."""
    if isinstance(domain, (Choice, Ordinal)):
        return _place(options, value)
    at = to_unit(domain, value)
    return min(range(len(options)), key=lambda i: abs(to_unit(domain, options[i]) - at))


def _part(action: float, parts: int) -> int:
    return min(parts - 1, max(0, int(action * parts)))


def _place(options: Sequence[Scalar], value: Scalar) -> int:
    return next(i for i, o in enumerate(options) if type(o) is type(value) and o == value)
