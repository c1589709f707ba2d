"""Linear operators on flattened tensors as sparse matrices ``[outputs, inputs]``, float64."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.sparse import coo_array, csr_array, diags_array

Shape = tuple[int, ...]


def diagonal(values: np.ndarray) -> csr_array:
    """``diag(values)``, also where entries are zero."""
    return csr_array(diags_array(np.asarray(values, dtype=np.float64)))


def identity(elements: int) -> csr_array:
    """Each element to itself."""
    return diagonal(np.ones(elements))


def selection(sources: np.ndarray, elements: int) -> csr_array:
    """Output ``o`` is input ``sources[o]`` of ``elements``, or 0 where that is negative."""
    rows = np.flatnonzero(sources >= 0)
    entries = (np.ones(len(rows)), (rows, sources[rows]))
    return csr_array(coo_array(entries, shape=(len(sources), elements)))


def convolution(weight: np.ndarray, shape: Shape, attributes: Mapping[str, Any]) -> csr_array:
    """A two-dimensional convolution with zero padding.

    Args:
        weight: ``[O, C / groups, kh, kw]``.
        shape: of the input, ``(C, H, W)``.
        attributes: ``stride``, ``padding``, ``dilation`` (two numbers each) and ``groups``.
    """
    outputs, per_group, *kernel = weight.shape
    groups = int(attributes["groups"])
    sides = [
        _positions(*entry)
        for entry in zip(
            shape[1:], kernel, attributes["stride"], attributes["padding"],
            attributes["dilation"], strict=True,
        )
    ]  # fmt: skip
    (rows_of, height), (columns_of, width) = sides
    pixels, area = height * width, shape[1] * shape[2]
    channel = np.arange(outputs)
    first = (channel // (outputs // groups)) * per_group
    data, rows, columns = [], [], []
    for (y, (out_y, in_y)), (x, (out_x, in_x)) in (
        (a, b) for a in enumerate(rows_of) for b in enumerate(columns_of)
    ):
        target = (out_y[:, None] * width + out_x).ravel()
        source = (in_y[:, None] * shape[2] + in_x).ravel()
        for i in range(per_group):
            tap = weight[:, i, y, x]
            kept = np.flatnonzero(tap)
            data.append(np.repeat(tap[kept], len(target)))
            rows.append((channel[kept, None] * pixels + target).ravel())
            columns.append(((first[kept, None] + i) * area + source).ravel())
    return _assembled(data, rows, columns, (outputs * pixels, shape[0] * area))


def average(shape: Shape, attributes: Mapping[str, Any]) -> csr_array:
    """Means over windows: ``rows`` and ``columns`` of (first, last + 1), and ``divisors``."""
    rows, columns = attributes["rows"], attributes["columns"]
    divisors = np.broadcast_to(attributes["divisors"], (len(rows), len(columns)))
    data, targets, sources = [], [], []
    for r, (top, bottom) in enumerate(rows):
        for c, (left, right) in enumerate(columns):
            window = (np.arange(top, bottom)[:, None] * shape[2] + np.arange(left, right)).ravel()
            sources.append(window)
            targets.append(np.full(len(window), r * len(columns) + c))
            data.append(np.full(len(window), 1.0 / divisors[r, c]))
    whole = (len(rows) * len(columns), shape[1] * shape[2])
    one = _assembled(data, targets, sources, whole)
    return repeated(one, shape[0])


def repeated(block: csr_array, count: int) -> csr_array:
    """``block`` once for each of ``count`` channels."""
    from scipy.sparse import kron

    return csr_array(kron(identity(count), block, format="csr"))


def slices(shape: Shape, parts: Sequence[Sequence[int | None]]) -> csr_array:
    """``x[parts]`` of a sample; each part is (start, stop, step)."""
    index = np.arange(math.prod(shape)).reshape(shape)
    return selection(index[tuple(slice(*part) for part in parts)].ravel(), index.size)


def padded(shape: Shape, sides: Sequence[int]) -> csr_array:
    """Zeros around a sample, ``sides`` as :func:`torch.nn.functional.pad` has them; may be < 0."""
    index = np.arange(math.prod(shape)).reshape(shape)
    pairs = [tuple(sides[i : i + 2]) for i in range(0, len(sides), 2)][::-1]
    pairs = [(0, 0)] * (len(shape) - len(pairs)) + pairs
    cut = tuple(slice(max(0, -a), n - max(0, -b)) for (a, b), n in zip(pairs, shape, strict=True))
    added = [(max(0, a), max(0, b)) for a, b in pairs]
    spread = np.pad(index[cut], added, constant_values=-1)
    return selection(spread.ravel(), index.size)


def joined(shapes: Sequence[Shape], axis: int) -> list[csr_array]:
    """One matrix for each part of a concatenation along ``axis`` of a sample; their sum is it."""
    sizes = [math.prod(shape) for shape in shapes]
    starts = np.cumsum([0, *sizes])
    index = np.concatenate(
        [np.arange(a, b).reshape(s) for a, b, s in zip(starts, starts[1:], shapes, strict=False)],
        axis=axis,
    ).ravel()
    return [
        selection(np.where((index >= a) & (index < b), index - a, -1), b - a)
        for a, b in zip(starts, starts[1:], strict=False)
    ]


def _positions(
    size: int, kernel: int, stride: int, padding: int, dilation: int
) -> tuple[list[tuple[np.ndarray, np.ndarray]], int]:
    """For each tap of a kernel along one axis the outputs it serves and the inputs it reads."""
    count = (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
    outputs = np.arange(count)
    found = []
    for tap in range(kernel):
        inputs = outputs * stride + tap * dilation - padding
        inside = (inputs >= 0) & (inputs < size)
        found.append((outputs[inside], inputs[inside]))
    return found, count


def _assembled(
    data: list[np.ndarray], rows: list[np.ndarray], columns: list[np.ndarray], shape: Shape
) -> csr_array:
    if not data:
        return csr_array(shape, dtype=np.float64)
    where = (np.concatenate(rows).astype(np.int32), np.concatenate(columns).astype(np.int32))
    made = csr_array(coo_array((np.concatenate(data).astype(np.float64), where), shape=shape))
    made.sum_duplicates()
    made.eliminate_zeros()
    return made
