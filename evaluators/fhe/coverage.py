"""What becomes of a polynomial outside the interval that it was fitted on."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from evaluators.fhe.reference import evaluate

if TYPE_CHECKING:
    from evaluators.fhe.graph import Polynomial

STEEPEST = 3.0
"""Polynomials that are steeper than this outside their interval explode there; activations grow no
faster than a line. Measured on networks with one activation whose polynomials (degrees 7 and 15)
were fitted to too narrow an interval: all of less than 3 kept 95 % of the classes in the clear."""
_POINTS = 257  # of a polynomial that are looked at


def steepness(polynomial: Polynomial, size: float) -> float:
    """By how much its values on [-size, size] exceed what grows in proportion; maybe infinite."""
    t = np.linspace(-1.0, 1.0, _POINTS)
    with np.errstate(over="ignore", invalid="ignore"):
        inside, outside = (float(np.abs(evaluate(polynomial, s * t)).max()) for s in (1.0, size))
    return outside / (size * inside) if np.isfinite(outside) and inside > 0 else math.inf


def lost_bits(polynomial: Polynomial, size: float) -> float:
    """Bits of precision that the terms of the series cost at ``size`` times its interval.

    Terms cancel, but their noise does not: T_g, with g the largest power of two within the degree,
    multiplies noise by its own value, ``T_g(size) = cosh(g arccosh(size))``. Of encrypted runs at
    1.4 to 3 times the interval (degrees 7 and 15) this tells the bits that are left to 2 bits where
    they are few, and up to 6 too few where they are many.
    """
    degree = max(1, len(polynomial.coefficients) - 1)
    doubled = 1 << (degree.bit_length() - 1)
    exponent = doubled * math.acosh(max(1.0, size)) / math.log(2.0)
    return max(0.0, exponent - 1.0)
