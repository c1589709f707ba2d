"""Where the elements of a tensor stand in the slots of its ciphertexts.

A layout is chosen so that the linear map behind it needs few distinct distances between the slots
of its inputs and outputs: each distance is one diagonal.

Positions count through all ciphertexts: ``position // slots`` is the ciphertext.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np

from evaluators.fhe.failures import BackendFailure
from evaluators.fhe.packed import Layout


def power(number: int) -> int:
    """The smallest power of two that is not less than ``number`` (at least 1)."""
    return 1 << max(number - 1, 0).bit_length()


def laid_out(positions: np.ndarray, slots: int, name: str, period: int = 0) -> Layout:
    """The layout with the given positions.

    Args:
        positions: ``[elements]``.
        slots: numbers in one ciphertext.
        name: for people.
        period: with which the content repeats; 0 for the smallest that holds all positions.

    Raises:
        BackendFailure: ``slots`` if the period cannot hold the positions.
    """
    positions = np.asarray(positions, dtype=np.int64)
    last = int(positions.max()) if positions.size else 0
    number = last // slots + 1
    least = power(last + 1) if number == 1 else slots
    period = period or least
    if period < least or period > slots:
        raise BackendFailure(
            "slots", f"layout {name} needs a period in [{least}, {slots}] (got {period})"
        )
    return Layout(positions, period, number, name)


def rows(shape: Sequence[int], slots: int, period: int = 0) -> Layout:
    """Elements in their order, one after another."""
    return laid_out(np.arange(prod(shape)), slots, "rows", period)


def channels(shape: Sequence[int], slots: int, period: int = 0) -> Layout:
    """Images ``(c, h, w)`` row by row, each channel at a multiple of a power of two."""
    return phases(shape, slots, 1, period)


def phases(
    shape: Sequence[int],
    slots: int,
    stride: int,
    period: int = 0,
    frame: tuple[int, int] | None = None,
) -> Layout:
    """Images ``(c, h, w)``, each split into the ``stride ** 2`` images of pixels that a strided
    window meets at the same place: slot ((c * stride^2 + phase) * pitch + y * width + x).

    Args:
        shape: of the tensor.
        slots: numbers in one ciphertext.
        stride: between pixels of one phase.
        period: see :func:`laid_out`.
        frame: (height, width) of larger images whose corner the pixels take. A convolution without
            padding leaves smaller images; at their own width its shifts would change row by row.
    """
    c, y, x = _axes(shape)
    height, width = _framed(shape, frame)
    tall, wide = -(-height // stride), -(-width // stride)
    pitch = power(tall * wide)
    phase = (y % stride) * stride + x % stride
    at = (c * stride**2 + phase) * pitch + (y // stride) * wide + x // stride
    name = ("channels" if stride == 1 else f"phases {stride}") + _wider(shape, frame)
    return laid_out(at.reshape(-1), slots, name, period)


def gaps(
    shape: Sequence[int],
    slots: int,
    gap: int,
    period: int = 0,
    frame: tuple[int, int] | None = None,
) -> Layout:
    """Images ``(c, h, w)`` as strided convolutions leave them: ``gap ** 2`` channels interleaved in
    one image of ``h * gap`` times ``w * gap`` pixels, or of as many as those of ``frame``.

    Source: Lee et al., "Low-complexity deep convolutional neural networks on fully homomorphic
        encryption using multiplexed parallel convolutions" (ICML 2022), section 4.
    """
    c, y, x = _axes(shape)
    height, width = _framed(shape, frame)
    inside = c % gap**2
    row, column = y * gap + inside // gap, x * gap + inside % gap
    at = (c // gap**2) * (height * width * gap**2) + row * (width * gap) + column
    return laid_out(at.reshape(-1), slots, f"gaps {gap}" + _wider(shape, frame), period)


def spread(elements: int, slots: int, width: int, block: int, period: int = 0) -> Layout:
    """``width`` elements at the start of each block of ``block`` slots.

    The copies of a periodic input work on different outputs, so that a dense layer needs ``width``
    diagonals. What stands between the elements is left over from partial sums.
    """
    index = np.arange(elements)
    name = f"spread {width} of {block}"
    return laid_out(index // width * block + index % width, slots, name, period)


def _image(shape: Sequence[int]) -> tuple[int, int, int]:
    if len(shape) == 3:
        return shape[0], shape[1], shape[2]
    return prod(shape), 1, 1


def _framed(shape: Sequence[int], frame: tuple[int, int] | None) -> tuple[int, int]:
    _, height, width = _image(shape)
    tall, wide = frame or (height, width)
    return max(height, tall), max(width, wide)


def _wider(shape: Sequence[int], frame: tuple[int, int] | None) -> str:
    """The part of a layout's name that tells its frame; layouts are told apart by their names."""
    height, width = _framed(shape, frame)
    return "" if (height, width) == _image(shape)[1:] else f" in {height}x{width}"


def _axes(shape: Sequence[int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    c, y, x = np.indices(_image(shape))
    return c, y, x
