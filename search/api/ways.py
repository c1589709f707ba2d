"""Ways: how the value of a parameter can move through its domain, step by step.

The repair of a point walks along them and stops as early as it can.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from search.api.domain import Choice, Integer, Ordinal, Real, Scalar, ScalarDomain, Value

_VECTOR_OPTIONS = 16  # targets tried for a whole vector; entries may have more options
_REAL_STEPS = 2**16  # resolution of a way between two real numbers


class Way(Protocol):
    """Values between one and another, in steps counted from 0."""

    def __len__(self) -> int: ...

    def at(self, step: int) -> Value:
        """The value after ``step`` steps (1 or more)."""
        ...

    def cost(self, step: int) -> float:
        """How far that is, as a share of the domain: comparable between parameters."""
        ...


@dataclass(frozen=True)
class VectorWay:
    """Entries become ``target`` one after the other, in the given order."""

    value: tuple[Scalar, ...]
    target: Scalar
    order: Sequence[int]

    def __len__(self) -> int:
        return len(self.order)

    def at(self, step: int) -> Value:
        """The value after ``step`` steps."""
        entries = list(self.value)
        for index in self.order[:step]:
            entries[index] = self.target
        return tuple(entries)

    def cost(self, step: int) -> float:
        """Share of the domain that is crossed."""
        return step / len(self.value)


@dataclass(frozen=True)
class ListWay:
    """Through options of an ordinal, integers of a grid, or to one other option."""

    values: Sequence[Scalar]
    total: float

    def __len__(self) -> int:
        return len(self.values)

    def at(self, step: int) -> Value:
        """The value after ``step`` steps."""
        return self.values[step - 1]

    def cost(self, step: int) -> float:
        """Share of the domain that is crossed."""
        return step / self.total


@dataclass(frozen=True)
class RealWay:
    """From a real number to a bound, in small equal steps."""

    value: float
    target: float
    width: float

    def __len__(self) -> int:
        return 0 if self.value == self.target else _REAL_STEPS

    def at(self, step: int) -> Value:
        """The value after ``step`` steps."""
        # Exact at the end; between two numbers the interpolation never leaves them.
        if step == _REAL_STEPS:
            return self.target
        return self.value + (self.target - self.value) * (step / _REAL_STEPS)

    def cost(self, step: int) -> float:
        """Share of the domain that is crossed."""
        return abs(self.target - self.value) / self.width * (step / _REAL_STEPS)


def scalar_ways(domain: ScalarDomain, value: Scalar) -> Iterator[Way]:
    """The ways of a scalar ``value`` of ``domain``: down, up, or to each other option."""
    if isinstance(domain, Real):
        yield RealWay(float(value), domain.low, domain.high - domain.low)
        yield RealWay(float(value), domain.high, domain.high - domain.low)
    elif isinstance(domain, Integer):
        number = int(value)
        top = domain.low + domain.step * (int(domain.size) - 1)
        yield ListWay(range(number - domain.step, domain.low - 1, -domain.step), domain.size)
        yield ListWay(range(number + domain.step, top + 1, domain.step), domain.size)
    elif isinstance(domain, Ordinal):
        index = domain.options.index(value)
        yield ListWay(domain.options[:index][::-1], domain.size)
        yield ListWay(domain.options[index + 1 :], domain.size)
    else:
        yield from (ListWay((o,), 1.0) for o in domain.options if o != value)


def targets(element: ScalarDomain, rng: random.Random) -> Sequence[Scalar]:
    """Values that the entries of a vector may be moved to."""
    if isinstance(element, Real):
        return (element.low, element.high)
    if isinstance(element, Integer):
        top = element.low + element.step * (int(element.size) - 1)
        return tuple(dict.fromkeys((element.low, top)))
    options: tuple[Scalar, ...] = element.options
    if len(options) <= _VECTOR_OPTIONS:
        return options
    if isinstance(element, Choice):
        return rng.sample(options, _VECTOR_OPTIONS)
    return (options[0], options[-1])
