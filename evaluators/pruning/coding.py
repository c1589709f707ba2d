"""How many bits the weights of a pruned layer take, indices included.

Every coding gives back the layer's weights exactly. A layer takes the cheapest of those that fit:

- whole: every weight, no index;
- blocks: a bit for each filter, column or input channel that says whether it stays, and every
  weight where those that stay cross;
- patterns: for each kernel of filters and channels that stay, which of the layer's patterns of
  positions it has, and a table of the patterns;
- N:M: for each group which weights stay;
- relative: for each weight how many zeros stand before it, in a few bits; where there are more, an
  explicit zero is put in between. Weights are read row by row;
- bitmap: a bit for each weight.

Levels of quantised weights have no zero, so whole layers and blocks of them must not hold any.

Source: Han et al., Deep Compression (ICLR 2016), section 2: relative indices with filler zeros.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evaluators.pruning.matrices import Weights
from spaces.pruning.plan import LayerPruning
from spaces.pruning.units import Layer

Mask = NDArray[np.bool_]
"""Which weights are not zero, ``[rows, inputs, positions]``."""

RELATIVE = tuple(range(2, 9))
"""Bits of a relative index that are tried."""

_FLOAT = 32


@dataclass(frozen=True)
class Coded:
    """A layer's weights in one coding.

    Args:
        nonzeros: weights that are not zero, at most.
        values: bits of these weights.
        index: all further bits: indices, tables, and zeros that are stored.
    """

    nonzeros: int
    values: int
    index: int

    @property
    def bits(self) -> int:
        """All of them."""
        return self.values + self.index


def coded(weight: Weights, bits: int, groups: int = 0, index_bits: int | None = None) -> Coded:
    """The cheapest coding of given weights.

    Args:
        weight: ``[rows, inputs, positions]``.
        bits: of each weight; below 32 there is no code for zero.
        groups: weights in a group of N:M if that may be taken.
        index_bits: of a relative index; None: the best of 2 to 8, or a bitmap.
    """
    mask = weight != 0
    nonzeros = int(np.count_nonzero(mask))
    found = [
        *_relative(nonzeros, bits, padding(mask, _widths(index_bits)), _widths(index_bits)),
        *_blocks(mask, nonzeros, bits),
    ]
    if index_bits is None:
        found.append(mask.size + nonzeros * bits)
    if mask.shape[2] > 1:
        found.append(_patterns(mask, nonzeros, bits))
    if groups:
        found += _grouped(mask, bits, groups)
    return Coded(nonzeros, nonzeros * bits, min(found) - nonzeros * bits)


def bound(
    layer: Layer,
    entries: Sequence[LayerPruning],
    bits: int,
    *,
    pool: int = 8,
    index_bits: int | None = None,
) -> Coded:
    """The cheapest coding that holds whichever units of a plan stay: no more bits are needed.

    Args:
        layer: itself.
        entries: what it keeps; none for a whole layer.
        bits: of each weight.
        pool: patterns at most.
        index_bits: as for :func:`coded`.
    """
    kept = {entry.structure: entry for entry in entries if entry.kept < entry.units}
    nonzeros = layer.weights
    for entry in kept.values():
        nonzeros = nonzeros * entry.kept // entry.units
    dropped = layer.weights - nonzeros
    if not dropped:
        return Coded(nonzeros, nonzeros * bits, 0)
    widths = _widths(index_bits)
    # The zeros of all gaps together are known, and gaps cut them into no more pieces than this.
    found = list(_relative(nonzeros, bits, [dropped >> b for b in widths], widths))
    if index_bits is None:
        found.append(layer.weights + nonzeros * bits)
    if bits >= _FLOAT:
        found.append(layer.weights * bits)
    marks = {"filter": layer.rows, "column": layer.columns, "channel": layer.inputs}
    index = sum(units for structure, units in marks.items() if structure in kept)
    rest = {structure for structure in kept if structure not in marks}
    if not rest:
        found.append(index + nonzeros * bits)
    elif rest == {"pattern"}:
        kernels = nonzeros // kept["pattern"].kept
        table = pool * layer.positions
        found.append(index + kernels * _log2(pool) + table + nonzeros * bits)
    elif rest == {"nm"}:
        n, m = kept["nm"].kept, kept["nm"].units
        found.append(index + nonzeros // n * _log2(math.comb(m, n)) + nonzeros * bits)
    return Coded(nonzeros, nonzeros * bits, min(found) - nonzeros * bits)


def padding(mask: Mask, widths: Sequence[int]) -> list[int]:
    """Filler zeros of a relative index, for each width of it in bits.

    A run of ``r`` zeros before a weight is told in ``b`` bits if it is at most ``2^b - 1``; each
    filler takes ``2^b - 1`` zeros and stands for one more. Zeros behind the last weight cost
    nothing.
    """
    runs = np.diff(np.flatnonzero(mask), prepend=-1) - 1
    return [int(np.sum(runs >> b)) for b in widths]


def _widths(index_bits: int | None) -> tuple[int, ...]:
    return RELATIVE if index_bits is None else (index_bits,)


def _relative(
    nonzeros: int, bits: int, fillers: Iterable[int], widths: Iterable[int]
) -> Iterator[int]:
    for filler, width in zip(fillers, widths, strict=True):
        yield (nonzeros + filler) * (bits + width)


def _blocks(mask: Mask, nonzeros: int, bits: int) -> Iterator[int]:
    """Bits of all weights in the rows, columns or channels that are not empty."""
    rows_all, inputs_all, positions = mask.shape
    columns_all = inputs_all * positions
    rows = int(mask.any(axis=(1, 2)).sum())
    columns = int(mask.any(axis=0).sum())
    channels = int(mask.any(axis=(0, 2)).sum())
    for r, row_bits in ((rows_all, 0), (rows, rows_all)):
        for c, column_bits in (
            (columns_all, 0), (columns, columns_all), (channels * positions, inputs_all)
        ):  # fmt: skip
            if r * c == nonzeros or bits >= _FLOAT:
                yield r * c * bits + row_bits + column_bits


def _patterns(mask: Mask, nonzeros: int, bits: int) -> int:
    """Bits with a pattern for each kernel; empty filters and channels are marked if any."""
    rows_all, inputs_all, positions = mask.shape
    rows, channels = mask.any(axis=(1, 2)), mask.any(axis=(0, 2))
    marks = (0 if rows.all() else rows_all) + (0 if channels.all() else inputs_all)
    kernels = mask[rows][:, channels].reshape(-1, positions)
    packed = np.packbits(kernels, axis=1)
    patterns = len(np.unique(packed, axis=0)) if len(packed) else 0
    index = len(kernels) * _log2(patterns) + patterns * positions
    return int(nonzeros * bits + index + marks)


def _grouped(mask: Mask, bits: int, groups: int) -> Iterator[int]:
    """Bits with a choice of the same number of weights in each group along the channels."""
    rows_all, inputs, positions = mask.shape
    if inputs % groups:
        return
    rows = mask.any(axis=(1, 2))
    marks = 0 if rows.all() else rows_all
    parts = mask[rows].transpose(0, 2, 1).reshape(-1, groups)
    counts = parts.sum(axis=1)
    if not len(counts):
        return
    n = int(counts.max())
    if bits >= _FLOAT or int(counts.min()) == n:
        yield len(parts) * (_log2(math.comb(groups, n)) + n * bits) + marks


def _log2(options: int) -> int:
    """Bits that tell one of so many options."""
    return int(max(0, options - 1)).bit_length()
