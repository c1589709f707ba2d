"""The space language: parameters, their domains, and the points a searcher proposes.

A :class:`Param` is a name, a domain and, for a conditional parameter, the values of other
parameters under which it is active. A domain is real, integer, ordinal, categorical or a vector
of one of these. A :data:`Point` maps names of *active* parameters to values; vector values are
tuples. Everything here is plain data and imports nothing but the standard library.
"""

from __future__ import annotations

import hashlib
import json
import math
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

Scalar = bool | int | float | str
Value = Scalar | tuple[Scalar, ...]
Point = Mapping[str, Value]


@dataclass(frozen=True)
class Real:
    """A real number in ``[low, high]``; sampled on a log scale if ``log``."""

    low: float
    high: float
    log: bool = False

    def __post_init__(self) -> None:
        if not (math.isfinite(self.low) and math.isfinite(self.high)):
            raise ValueError(f"bounds must be finite (got [{self.low}, {self.high}])")
        if self.low > self.high:
            raise ValueError(f"low must not exceed high (got [{self.low}, {self.high}])")
        if self.log and self.low <= 0:
            raise ValueError(f"a log scale needs low > 0 (got {self.low})")

    @property
    def size(self) -> float:
        """Number of distinct values; infinite unless ``low == high``."""
        return 1.0 if self.low == self.high else math.inf

    def contains(self, value: Value) -> bool:
        """Whether ``value`` is a finite number within the bounds."""
        return (
            isinstance(value, (int, float))
            and not isinstance(value, bool)
            and math.isfinite(value)
            and self.low <= value <= self.high
        )

    def sample(self, rng: random.Random) -> float:
        """A value drawn uniformly (on the log scale if ``log``)."""
        if self.log:
            value = math.exp(rng.uniform(math.log(self.low), math.log(self.high)))
            return min(self.high, max(self.low, value))
        return rng.uniform(self.low, self.high)

    def describe(self) -> str:
        """The domain in words, for messages."""
        return f"a number in [{self.low:g}, {self.high:g}]" + (" (log scale)" if self.log else "")


@dataclass(frozen=True)
class Integer:
    """An integer in ``[low, high]`` on the grid ``low + k*step``."""

    low: int
    high: int
    step: int = 1
    log: bool = False

    def __post_init__(self) -> None:
        if self.low > self.high:
            raise ValueError(f"low must not exceed high (got [{self.low}, {self.high}])")
        if self.step < 1:
            raise ValueError(f"step must be at least 1 (got {self.step})")
        if self.log and (self.low <= 0 or self.step != 1):
            raise ValueError("a log scale needs low > 0 and step 1")

    @property
    def size(self) -> float:
        """Number of distinct values."""
        return float((self.high - self.low) // self.step + 1)

    def contains(self, value: Value) -> bool:
        """Whether ``value`` is an int on the grid."""
        return (
            isinstance(value, int)
            and not isinstance(value, bool)
            and self.low <= value <= self.high
            and (value - self.low) % self.step == 0
        )

    def sample(self, rng: random.Random) -> int:
        """A value drawn uniformly (on the log scale if ``log``)."""
        if self.log:
            value = math.exp(rng.uniform(math.log(self.low - 0.5), math.log(self.high + 0.5)))
            return min(self.high, max(self.low, round(value)))
        return self.low + self.step * rng.randrange(int(self.size))

    def describe(self) -> str:
        """The domain in words, for messages."""
        grid = f" in steps of {self.step}" if self.step != 1 else ""
        return f"an integer in [{self.low}, {self.high}]{grid}"


@dataclass(frozen=True)
class _Options:
    """What ordinal and categorical domains share: a finite tuple of distinct scalars."""

    options: tuple[Scalar, ...]

    def __post_init__(self) -> None:
        if not self.options:
            raise ValueError("at least one option is needed")
        if len({(type(o).__name__, o) for o in self.options}) != len(self.options):
            raise ValueError(f"options must differ (got {self.options!r})")

    @property
    def size(self) -> float:
        """Number of distinct values."""
        return float(len(self.options))

    def contains(self, value: Value) -> bool:
        """Whether ``value`` is one of the options (and of the same type)."""
        return any(type(value) is type(o) and value == o for o in self.options)

    def sample(self, rng: random.Random) -> Scalar:
        """An option drawn uniformly."""
        return rng.choice(self.options)

    def describe(self) -> str:
        """The domain in words, for messages."""
        return f"one of {', '.join(map(repr, self.options))}"


@dataclass(frozen=True)
class Ordinal(_Options):
    """One of ``options``, whose order carries meaning (a ring dimension, a number of bits)."""


@dataclass(frozen=True)
class Choice(_Options):
    """One of ``options``, without order."""


ScalarDomain = Real | Integer | Ordinal | Choice


@dataclass(frozen=True)
class Vector:
    """``length`` entries of one scalar domain under one name.

    A vector is proposed, repaired, stored and compared as a whole: it is never split into
    ``length`` parameters of a sampler or of the storage.
    """

    element: ScalarDomain
    length: int

    def __post_init__(self) -> None:
        if self.length < 1:
            raise ValueError(f"length must be at least 1 (got {self.length})")

    @property
    def size(self) -> float:
        """Number of distinct values (``inf`` on overflow)."""
        try:
            return float(self.element.size) ** self.length
        except OverflowError:
            return math.inf

    def contains(self, value: Value) -> bool:
        """Whether ``value`` is a tuple of ``length`` legal entries."""
        return (
            isinstance(value, tuple)
            and len(value) == self.length
            and all(self.element.contains(entry) for entry in value)
        )

    def sample(self, rng: random.Random) -> tuple[Scalar, ...]:
        """Entries drawn independently and uniformly."""
        return tuple(self.element.sample(rng) for _ in range(self.length))

    def describe(self) -> str:
        """The domain in words, for messages."""
        return f"a list of {self.length} entries, each {self.element.describe()}"


Domain = ScalarDomain | Vector


@dataclass(frozen=True)
class Param:
    """A named parameter.

    Args:
        name: unique within a study.
        domain: legal values.
        unit: unit of the value, for people; empty if it has none.
        when: the parameter is active only while each named parameter is active and has one of
            the given values. Named parameters must come earlier in the list.
        doc: one line for people.
    """

    name: str
    domain: Domain
    unit: str = ""
    when: Mapping[str, tuple[Scalar, ...]] = field(default_factory=dict)
    doc: str = ""


def is_active(param: Param, point: Point) -> bool:
    """Whether ``param`` is active given the values already in ``point``."""
    return all(name in point and point[name] in options for name, options in param.when.items())


def active_params(params: Iterable[Param], point: Point) -> Iterator[Param]:
    """The parameters of ``params`` that ``point`` must have a value for, in order."""
    for param in params:
        if is_active(param, point):
            yield param


def sample_point(params: Sequence[Param], rng: random.Random) -> dict[str, Value]:
    """A point drawn uniformly parameter by parameter, conditional ones included when active."""
    point: dict[str, Value] = {}
    for param in params:
        if is_active(param, point):
            point[param.name] = param.domain.sample(rng)
    return point


def space_size(params: Sequence[Param]) -> float:
    """Upper bound of the number of distinct points (``inf`` with a real parameter).

    Conditions are ignored, so the bound is exact only without conditional parameters.
    """
    total = 1.0
    for param in params:
        total *= param.domain.size
    return total


def canonical(point: Point) -> str:
    """``point`` as canonical JSON: sorted keys, tuples as lists, integral floats kept as floats."""
    plain = {name: list(v) if isinstance(v, tuple) else v for name, v in point.items()}
    return json.dumps(plain, sort_keys=True, separators=(",", ":"), allow_nan=False)


def point_digest(point: Point) -> str:
    """16 hexadecimal digits that identify ``point``; equal points have equal digests."""
    return hashlib.sha256(canonical(point).encode()).hexdigest()[:16]


def point_from_json(data: Mapping[str, object]) -> dict[str, Value]:
    """A point from its JSON form: lists become tuples.

    Raises:
        ValueError: a value is neither a scalar nor a list of scalars.
    """
    point: dict[str, Value] = {}
    for name, value in data.items():
        if isinstance(value, (bool, int, float, str)):
            point[name] = value
        elif isinstance(value, (list, tuple)) and all(
            isinstance(entry, (bool, int, float, str)) for entry in value
        ):
            point[name] = tuple(value)
        else:
            raise ValueError(f"{name}: expected a scalar or a list of scalars (got {value!r})")
    return point
