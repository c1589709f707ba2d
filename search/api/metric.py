"""Metrics, measurements, fidelities and constraints: numbers that carry unit and evidence."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

Evidence = Literal["bound", "model", "simulated", "measured"]
Goal = Literal["min", "max"]
EVIDENCE: tuple[str, ...] = get_args(Evidence)

# Factors to the base unit of each dimension. A unit absent here converts only to itself.
_UNITS: dict[str, tuple[str, float]] = {
    "ns": ("s", 1e-9), "us": ("s", 1e-6), "ms": ("s", 1e-3), "s": ("s", 1.0),
    "min": ("s", 60.0), "h": ("s", 3600.0),
    "bit": ("B", 0.125), "B": ("B", 1.0), "kB": ("B", 1e3), "MB": ("B", 1e6), "GB": ("B", 1e9),
    "KiB": ("B", 1024.0), "MiB": ("B", 1024.0**2), "GiB": ("B", 1024.0**3),
    "nJ": ("J", 1e-9), "uJ": ("J", 1e-6), "mJ": ("J", 1e-3), "J": ("J", 1.0), "kJ": ("J", 1e3),
    "Wh": ("J", 3600.0),
    "uW": ("W", 1e-6), "mW": ("W", 1e-3), "W": ("W", 1.0),
    "%": ("1", 0.01), "1": ("1", 1.0), "": ("1", 1.0),
}  # fmt: skip


def convert(value: float, unit: str, target: str) -> float:
    """``value`` given in ``unit``, expressed in ``target``.

    Raises:
        ValueError: the units measure different things, or one of them is unknown.
    """
    if unit == target:
        return value
    if unit not in _UNITS or target not in _UNITS or _UNITS[unit][0] != _UNITS[target][0]:
        raise ValueError(f"unit {unit!r} cannot be converted to {target!r}")
    return value * _UNITS[unit][1] / _UNITS[target][1]


def units_like(unit: str) -> tuple[str, ...]:
    """All known units that convert to ``unit``, itself included."""
    base = _UNITS.get(unit)
    return tuple(u for u, (b, _) in _UNITS.items() if base and b == base[0] and u) or (unit,)


@dataclass(frozen=True)
class Metric:
    """What is measured: name, unit, which way is better, and where the definition comes from."""

    name: str
    unit: str
    goal: Goal
    doc: str
    source: str = ""


@dataclass(frozen=True)
class Measurement:
    """One number.

    Args:
        metric: name of the metric.
        value: in ``unit``; finite.
        unit: unit of ``value`` and ``std``.
        fidelity: name of the rung at which it was taken.
        evidence: ``bound`` (provable), ``model`` (formula and constants), ``simulated``
            (behavioural simulation) or ``measured`` (the real thing was run).
        std: standard error of ``value`` if known.
        n: repetitions, samples or Monte-Carlo draws behind the value.
        split: data split it was taken on: ``validation``, ``test`` or empty.
        low, high: 95 % confidence interval if known.
    """

    metric: str
    value: float
    unit: str
    fidelity: str
    evidence: Evidence
    std: float | None = None
    n: int = 1
    split: str = ""
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Fidelity:
    """How much effort a rung spends: its name, its rank (0 is cheapest) and its budget."""

    name: str
    rank: int
    budget: Mapping[str, float] = field(default_factory=dict)


_CONSTRAINT = re.compile(
    r"^\s*(?P<metric>[A-Za-z_][\w.]*)\s*(?P<op><=|>=)\s*"
    r"(?P<bound>[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*(?P<unit>\S*)\s*$"
)


@dataclass(frozen=True)
class Constraint:
    """A bound on a measured metric; ``excess <= 0`` is feasible (Optuna's sign)."""

    metric: str
    op: Literal["<=", ">="]
    bound: float
    unit: str

    @classmethod
    def parse(cls, text: str) -> Constraint:
        """A constraint from text such as ``latency_2pc <= 50 ms``.

        Raises:
            ValueError: the text has another form.
        """
        match = _CONSTRAINT.match(text)
        if match is None:
            raise ValueError(
                f"cannot read constraint {text!r} (expected 'metric <= number unit', "
                "for example 'latency_2pc <= 50 ms')"
            )
        op: Literal["<=", ">="] = "<=" if match["op"] == "<=" else ">="
        bound = float(match["bound"])
        if not math.isfinite(bound):
            raise ValueError(f"bound must be finite (got {match['bound']})")
        return cls(match["metric"], op, bound, match["unit"])

    def in_unit(self, unit: str) -> Constraint:
        """The same constraint with its bound in ``unit``.

        Raises:
            ValueError: the units measure different things.
        """
        return Constraint(self.metric, self.op, convert(self.bound, self.unit, unit), unit)

    def excess(self, value: float, unit: str) -> float:
        """By how much ``value`` (in ``unit``) breaks the bound, in the constraint's unit."""
        own = convert(value, unit, self.unit)
        return own - self.bound if self.op == "<=" else self.bound - own

    def __str__(self) -> str:
        return f"{self.metric} {self.op} {self.bound:g} {self.unit}".rstrip()
