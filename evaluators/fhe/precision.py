"""How precise an encrypted answer is: bits, and classes that stay the same."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

MOST_BITS = 53.0
"""Bits of the numbers that answers are compared in: an error of zero counts as these."""


@dataclass(frozen=True)
class Precision:
    """Distance of encrypted outputs from exact ones.

    Bits are ``-log2`` of the absolute error: of an output of magnitude 1, so many bits are right.

    Args:
        mean: of the mean error over all inputs and outputs.
        worst: of the largest one.
        agreement: share of inputs with the same largest output, in [0, 1].
        inputs: how many were compared.
    """

    mean: float
    worst: float
    agreement: float
    inputs: int


def compare(found: np.ndarray, exact: np.ndarray) -> Precision:
    """Precision of ``found`` against ``exact``, ``[n, outputs]`` each, n at least 1."""
    error = np.abs(found - exact)
    same = found.argmax(axis=1) == exact.argmax(axis=1)
    return Precision(
        bits(float(error.mean())), bits(float(error.max())), float(same.mean()), len(found)
    )


def bits(error: float) -> float:
    """``-log2`` of an absolute error; an infinite one counts as the largest number."""
    if not math.isfinite(error):
        return -1024.0
    return MOST_BITS if error <= 2.0**-MOST_BITS else -math.log2(error)
