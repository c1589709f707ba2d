"""Arithmetic of the device, bit for bit: sums of products, rounding shifts, saturation, pools.

Values are integers in float64 tensors, exact as long as they stay below 2**53; whoever builds a
network proves that (:mod:`search.workloads.eve.integer_quantise`). The same rules in C stand in
``evaluators/device/export/runner.c``.

- Shift: ``(v + 2**(s - 1)) >> s`` with an arithmetic shift: to the nearest integer, halves up.
- Saturation: to the range of two's complement, -2**(bits - 1) to 2**(bits - 1) - 1.
- Average: the nearest integer to ``sum / n``, halves up; for n = 2**s that is the shift.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

Pair = tuple[int, int]

EXACT = 2**53
"""Integers below this are exact in float64."""


def limits(bits: int) -> Pair:
    """Least and largest integer of ``bits`` bits in two's complement."""
    return -(2 ** (bits - 1)), 2 ** (bits - 1) - 1


def quantise(x: Tensor, fraction: int, bits: int) -> Tensor:
    """Integers nearest to ``x * 2**fraction``, halves up, saturated; float64, shape kept."""
    low, high = limits(bits)
    return torch.floor(x.double() * 2.0**fraction + 0.5).clamp(low, high)


def rounding_shift(x: Tensor, shift: int) -> Tensor:
    """``x / 2**shift`` to the nearest integer, halves up; ``shift`` at least 0."""
    return torch.floor((x + 2.0 ** (shift - 1)) * 2.0**-shift) if shift else x


def saturate(x: Tensor, bits: int) -> Tensor:
    """``x`` in the range of ``bits`` bits."""
    low, high = limits(bits)
    return x.clamp(low, high)


def products(x: Tensor, weight: Tensor, bias: Tensor, stride: Pair, padding: Pair) -> Tensor:
    """Sums of a convolution, or of a linear layer where ``x`` has two axes.

    Args:
        x: ``[n, C, H, W]`` or ``[n, F]``.
        weight: ``[M, C, kh, kw]`` or ``[M, F]``.
        bias: ``[M]``, on the scale of the sums.
        stride: of the window, (rows, columns).
        padding: of the map, likewise.

    Returns:
        ``[n, M, R, C]`` or ``[n, M]``.
    """
    if x.dim() == 2:
        return x @ weight.T + bias
    # Unfolded by hand: ready-made convolutions may choose an algorithm that is not exact.
    kernel = (weight.shape[2], weight.shape[3])
    columns = F.unfold(x, kernel, padding=padding, stride=stride)
    rows, _ = (
        (size + 2 * p - k) // s + 1
        for size, p, k, s in zip(x.shape[2:], padding, kernel, stride, strict=True)
    )
    sums = weight.flatten(1) @ columns + bias[:, None]
    return sums.view(len(x), len(weight), rows, -1)


def max_pool(x: Tensor, kernel: Pair, stride: Pair, padding: Pair, *, ceil: bool) -> Tensor:
    """Largest value of each window of ``[n, C, H, W]``; padding never wins."""
    return F.max_pool2d(x, kernel, stride, padding, ceil_mode=ceil)


def average_pool(
    x: Tensor, kernel: Pair, stride: Pair, padding: Pair, *, count_padding: bool
) -> Tensor:
    """Average of each window of ``[n, C, H, W]``.

    Args:
        x: the map.
        kernel: size of the window, (rows, columns).
        stride: of the window.
        padding: of the map.
        count_padding: whether zeros of the padding count.
    """
    total = F.avg_pool2d(x, kernel, stride, padding, divisor_override=1).long()
    count: Tensor | int = kernel[0] * kernel[1]
    if not count_padding:
        ones = torch.ones_like(x[:1, :1])
        count = F.avg_pool2d(ones, kernel, stride, padding, divisor_override=1).long()
    return torch.div(2 * total + count, 2 * count, rounding_mode="floor").to(x.dtype)
