"""Where a Chebyshev series is split, so that it takes few expensive products within its levels."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

Parity = Literal["even", "odd", "mixed"]

# Milliseconds per operation at l limbs and N = 16384: the fits of SEAL's times on the machine of
# the shipped table. They only decide between plans of the same depth.
_PRODUCT, _SCALAR, _RESCALE = 0.22, 0.10, 0.42
_RELINEARISE = (0.22, 0.86)  # times l^2 and l
_NEVER = math.inf


@dataclass(frozen=True)
class Split:
    """How one stage is evaluated.

    Args:
        series: Chebyshev coefficients ``[degree + 1]``; the last is not zero.
        baby: sums of products with coefficients use T_1 ... T_(baby - 1).
        giant: parts are divided by T_2, T_4, ... up to this one; 0: by none. Also by those below
            ``baby``: of a full polynomial, the leading part has a level less than the others.
    """

    series: tuple[float, ...]
    baby: int
    giant: int

    @property
    def degree(self) -> int:
        """Of the polynomial."""
        return len(self.series) - 1

    @property
    def levels(self) -> int:
        """Limbs it drops: ``ceil(log2(degree + 1))``."""
        return levels_of(self.degree)

    def divisor(self, degree: int, parity: Parity, depth: int) -> int:
        """M of the T_m that divides a part with ``depth`` levels to go; 0: a sum of baby steps.

        The part's result, before its own rescaling, is ``depth - 1`` levels below the input.
        """
        return _choice(degree, parity, depth, self.baby, self.giant, self.levels)[1]


def levels_of(degree: int) -> int:
    """The least number of levels for that degree, products with coefficients included."""
    return degree.bit_length()


def parity_of(series: Sequence[float]) -> Parity:
    """Which coefficients of index 2 and more are not zero."""
    indices = [i for i, c in enumerate(series) if c and i >= 2]
    if all(i % 2 == 0 for i in indices):
        return "even"
    return "odd" if all(i % 2 for i in indices) else "mixed"


def splits(series: Sequence[float]) -> Iterator[Split]:
    """Every choice of baby and giant steps that keeps to the levels."""
    degree = max(i for i, c in enumerate(series) if c)
    kept = tuple(float(c) for c in series[: degree + 1])
    parity = parity_of(kept)
    for baby in (2**k for k in range(1, degree.bit_length() + 1)):
        for giant in (0, *(2**j for j in range(1, degree.bit_length()))):
            split = Split(kept, baby, giant)
            cost = _choice(degree, parity, split.levels, baby, giant, split.levels)[0]
            if giant <= degree and cost < _NEVER:
                yield split


def divide(series: Sequence[float], m: int) -> tuple[list[float], list[float]]:
    """``(q, r)`` with ``series = q T_m + r`` and r of degree below m; zeros stay exactly zero."""
    rest = [float(c) for c in series]
    quotient = [0.0] * (len(rest) - m)
    for i in range(len(rest) - 1, m, -1):  # T_i = 2 T_(i-m) T_m - T_|i-2m|
        quotient[i - m] += 2.0 * rest[i]
        rest[abs(i - 2 * m)] -= rest[i]
    quotient[0] += rest[m]
    return quotient, rest[:m]


def expense(operation: str, limbs: int) -> float:
    """Relative cost of an operation at ``limbs``, for choosing between plans."""
    if operation == "relinearise":
        return _RELINEARISE[0] * limbs * limbs + _RELINEARISE[1] * limbs
    rates = {"multiply": _PRODUCT, "square": 0.75 * _PRODUCT, "rescale": _RESCALE}
    return limbs * rates.get(operation, _SCALAR if operation == "multiply_scalar" else 0.05)


@lru_cache(maxsize=65536)
def _choice(
    degree: int, parity: Parity, depth: int, baby: int, giant: int, levels: int
) -> tuple[float, int]:
    """Least cost of a part (without its own relinearisation) and the m that gives it; 0: none."""
    limbs = levels + 2 - depth
    best = (_NEVER, 0)
    if degree < baby and levels_of(_top(degree)) < depth + (degree < 2):
        terms = degree if parity == "mixed" else (degree + 1) // 2
        best = (terms * expense("multiply_scalar", limbs), 0)
    m = giant
    while m >= 2:
        if m <= degree and levels_of(m - 1) < depth:
            cost = _division(degree, parity, depth, m, baby, giant, levels)
            best = min(best, (cost, m))
        m //= 2
    return best


def _division(
    degree: int, parity: Parity, depth: int, m: int, baby: int, giant: int, levels: int
) -> float:
    """Cost of ``q T_m + r``."""
    limbs = levels + 2 - depth
    rest = m - 2 if parity == "even" else m - 1
    cost = _choice(rest, parity, depth, baby, giant, levels)[0] if rest else 0.0
    if degree == m:
        return cost + expense("multiply_scalar", limbs)
    inner, divided = _choice(degree - m, parity, depth - 1, baby, giant, levels)
    cost += inner + expense("multiply", limbs) + expense("rescale", limbs + 1)
    return cost + (expense("relinearise", limbs + 1) if divided else 0.0)


def _top(degree: int) -> int:
    """Degree whose levels are the depth of T_degree: ``ceil(log2 degree) = levels_of(d - 1)``."""
    return max(degree - 1, 0)
