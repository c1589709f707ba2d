"""Pools as secure operations. An average is a local sum over windows; a maximum is a comparison."""

from __future__ import annotations

import math
from typing import Any

from torch import nn

from evaluators.lowered.activations import Lowered
from search.api.errors import EvaluationError
from search.workloads.functional import GlobalAvgPool

Windows = list[tuple[int, int]]
"""First and last + 1 input index of each output, along one axis; parts in the padding left out."""


def lower_pool(module: nn.Module, shape: tuple[int, ...], site: str) -> Lowered | None:
    """The pool ``module`` on samples of ``shape``; None if it is no pool known here.

    Raises:
        EvaluationError: a maximum over windows of unequal size, or one with holes.
    """
    if isinstance(module, nn.MaxPool2d):
        if _pair(module.dilation) != (1, 1) or module.return_indices:
            raise EvaluationError(f"{site}: a maximum over windows with holes has no secure form")
        return Lowered(
            "maxpool",
            {
                "kernel": _pair(module.kernel_size),
                "stride": _pair(module.stride),
                "padding": _pair(module.padding),
                "ceil": module.ceil_mode,
            },
        )
    if isinstance(module, nn.AdaptiveMaxPool2d):
        sizes = _adaptive_sizes(module.output_size, shape)
        if any(n % m for n, m in zip(shape[-2:], sizes, strict=True)):
            raise EvaluationError(f"{site}: a maximum over windows of unequal size is unknown")
        window = tuple(n // m for n, m in zip(shape[-2:], sizes, strict=True))
        return Lowered(
            "maxpool", {"kernel": window, "stride": window, "padding": (0, 0), "ceil": False}
        )
    if isinstance(module, nn.AvgPool2d):
        return _average_pool(module, shape)
    if isinstance(module, nn.AdaptiveAvgPool2d):
        sizes = _adaptive_sizes(module.output_size, shape)
        return _average([_even(n, m) for n, m in zip(shape[-2:], sizes, strict=True)])
    if isinstance(module, GlobalAvgPool):
        return _average([[(0, n)] for n in shape[-2:]], squeeze=not module.keepdim)
    return None


def windows(size: int, kernel: int, stride: int, padding: int, *, ceil: bool) -> Windows:
    """The windows of a pool along an axis of ``size``."""
    rounded = math.ceil if ceil else math.floor
    count = rounded((size + 2 * padding - kernel) / stride) + 1
    if ceil and (count - 1) * stride >= size + padding:
        count -= 1  # a window may not begin in the padding behind the map
    starts = [i * stride - padding for i in range(count)]
    return [(max(0, s), min(size, s + kernel)) for s in starts]


def _average_pool(module: nn.AvgPool2d, shape: tuple[int, ...]) -> Lowered:
    kernel, stride, padding = map(_pair, (module.kernel_size, module.stride, module.padding))
    axes = [
        windows(n, k, s, p, ceil=module.ceil_mode)
        for n, k, s, p in zip(shape[-2:], kernel, stride, padding, strict=True)
    ]
    divisor = module.divisor_override
    if divisor is None and module.count_include_pad and any(padding):
        # Padding counts, but not what a rounded-up window has beyond it.
        counts = [
            [min(n + p, i * s - p + k) - (i * s - p) for i in range(len(axis))]
            for axis, n, k, s, p in zip(axes, shape[-2:], kernel, stride, padding, strict=True)
        ]
        return _average(axes, counts=counts)
    return _average(axes, divisor=divisor)


def _average(
    axes: list[Windows],
    *,
    counts: list[list[int]] | None = None,
    divisor: int | None = None,
    squeeze: bool = False,
) -> Lowered:
    counts = counts or [[b - a for a, b in axis] for axis in axes]
    divisors = [[divisor or rows * columns for columns in counts[1]] for rows in counts[0]]
    same = len({d for row in divisors for d in row}) == 1
    whole = all(len(axis) == 1 for axis in axes)
    attributes: dict[str, Any] = {
        "rows": axes[0],
        "columns": axes[1],
        "divisors": divisors[0][0] if same else divisors,
        "squeeze": squeeze,
    }
    return Lowered("globalavgpool" if whole else "avgpool", attributes)


def _even(size: int, parts: int) -> Windows:
    """The windows of an adaptive pool: they cover the axis, and may overlap by one."""
    return [(i * size // parts, -(-(i + 1) * size // parts)) for i in range(parts)]


def _adaptive_sizes(output: Any, shape: tuple[int, ...]) -> tuple[int, ...]:
    both = output if isinstance(output, (tuple, list)) else (output, output)
    return tuple(n if m is None else m for n, m in zip(shape[-2:], both, strict=True))


def _pair(value: Any) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (value[0], value[1])
