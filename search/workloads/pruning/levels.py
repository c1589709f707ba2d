"""Levels of quantised weights: which values there are, the nearest one, and the best interval.

Zero is no level: pruned weights hold it already, and quantising leaves them as they are.

Source: Ye et al., Progressive DNN Compression (arXiv:1903.09769): levels and the search for their
interval; the closed form of binary levels is that of XNOR-Net.
"""

from __future__ import annotations

import torch
from torch import Tensor

from search.api.errors import ConfigError

_GOLDEN = 0.6180339887498949
_SEARCH_STEPS = 40
_GRID = 24


def multiples(levels: str, bits: int, *, device: torch.device | None = None) -> Tensor:
    """Positive levels in units of the interval ``q``, rising, as a float vector.

    Args:
        levels: ``equal``: 1, 2, ..., 2^(bits-1); ``power_of_two``: 1, 2, 4, ..., as many;
            ``ternary`` and ``binary``: 1.
        bits: of a weight, sign included.
        device: where.

    Raises:
        ConfigError: an unknown kind, or bits that it cannot have.
    """
    if levels in ("ternary", "binary"):
        return torch.ones(1, device=device)
    if levels not in ("equal", "power_of_two"):
        raise ConfigError(
            f"unknown levels {levels!r} (known: equal, power_of_two, ternary, binary)"
        )
    most = 16 if levels == "equal" else 6
    if not 1 <= bits <= most:
        raise ConfigError(f"levels {levels}: expected 1 to {most} bits (got {bits})")
    steps = torch.arange(2 ** (bits - 1), dtype=torch.float32, device=device)
    return steps + 1 if levels == "equal" else torch.exp2(steps)


def nearest_level(weight: Tensor, interval: float, steps: Tensor) -> Tensor:
    """Each non-zero entry moved to the nearest level of its sign; zeros stay.

    Args:
        weight: any shape.
        interval: ``q``, greater than 0.
        steps: positive levels in units of ``q``, rising, see :func:`multiples`.
    """
    scaled = weight.abs() / interval
    middles = (steps[1:] + steps[:-1]) / 2
    chosen = steps[torch.bucketize(scaled.contiguous(), middles)]
    return torch.sign(weight) * chosen * interval


def best_interval(weight: Tensor, steps: Tensor) -> float:
    """The ``q`` with the least squared error over the non-zero entries of ``weight``.

    A grid over all sensible intervals finds the valley, a golden section its bottom: the error
    has many local minima, so that a section alone ends in any of them.

    Args:
        weight: any shape.
        steps: positive levels in units of ``q``, rising.

    Returns:
        The interval; 1 if there is no non-zero entry.
    """
    values = weight.detach()[weight.detach() != 0].abs().flatten().double()
    if not values.numel():
        return 1.0
    if steps.numel() == 1:
        return float(values.mean())
    steps = steps.double()

    def error(q: float) -> float:
        return float((values - nearest_level(values, q, steps)).square().sum())

    high = float(values.max() / steps[0])
    low = 0.25 * float(values.max() / steps[-1])
    ratio = (high / low) ** (1 / (_GRID - 1))
    grid = [low * ratio**k for k in range(_GRID)]
    best = min(range(_GRID), key=lambda k: error(grid[k]))
    a, b = grid[max(0, best - 1)], grid[min(_GRID - 1, best + 1)]
    for _ in range(_SEARCH_STEPS):
        c, d = b - _GOLDEN * (b - a), a + _GOLDEN * (b - a)
        if error(c) < error(d):
            b = d
        else:
            a = c
    return float(a + b) / 2


def quantise(weight: Tensor, levels: str, bits: int) -> Tensor:
    """``weight`` on the levels whose interval fits it best; zeros stay.

    Raises:
        ConfigError: an unknown kind of levels, or bits that it cannot have.
    """
    steps = multiples(levels, bits, device=weight.device)
    return nearest_level(weight, best_interval(weight, steps), steps.to(weight.dtype))
