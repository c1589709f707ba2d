"""Weights as integers on one power-of-two scale for each layer, which all modes share."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from search.api.errors import EvaluationError


def exponent_of(weight: Tensor, bits: int) -> int:
    """The least e such that all of ``weight`` lies within ``bits``-bit integers times 2**e.

    Weights that are all 0 give 0.

    Raises:
        EvaluationError: a weight is NaN or infinite.
    """
    largest = float(weight.detach().abs().max()) if weight.numel() else 0.0
    if largest == 0.0:
        return 0
    if not math.isfinite(largest):
        raise EvaluationError("weights are NaN or infinite. A lower learning rate may help")
    return math.ceil(math.log2(largest / (2 ** (bits - 1) - 1)))


def integers_of(weight: Tensor, exponent: int, bits: int) -> Tensor:
    """int32: ``weight / 2**exponent`` to the nearest integer (ties to even), clamped to ``bits``
    bits in the symmetric range.
    """
    most = 2 ** (bits - 1) - 1
    return torch.round(weight.detach() * 2.0**-exponent).clamp(-most, most).to(torch.int32)


def on_grid(weight: Tensor, exponent: int, bits: int) -> Tensor:
    """A copy of ``weight`` on its grid: exactly integers times 2**exponent; no gradient."""
    # A power of two is exact as a float, and so is its product with any integer of 24 bits.
    return integers_of(weight, exponent, bits).to(weight.dtype) * 2.0**exponent
