"""Weights of a layer as the device streams them, and the compact code of their levels.

Weights of a filter are stored kernel position by kernel position, each a run of all input
channels; what no mode keeps is left out. Whoever reads them knows a unit's place and level from

- ``pattern``: a pool of position orders (positions of the sparsest mode first), one index for each
  filter, and how many positions each mode keeps;
- ``filter``: one level for each filter, and where its weights begin;
- ``block``: one level for each run of inputs of a linear layer, and where a filter's begin;
- ``weight``: one level for each weight, none left out; for whatever fits none of these.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from search.api.errors import EvaluationError

if TYPE_CHECKING:
    from search.workloads.eve.integer import IntegerLayer

Array = npt.NDArray[np.int64]
CODINGS = ("pattern", "filter", "block", "weight")
_BYTE = 255


@dataclass(frozen=True, eq=False)
class Coded:
    """One layer; arrays that its coding has no use for are empty.

    Args:
        coding: one of :data:`CODINGS`.
        weights: that are stored, in stream order.
        orders: ``[patterns, stored]`` kernel positions.
        index: ``[filters]``, pattern of each filter.
        counts: ``[modes]``, positions that each mode keeps.
        levels: of the units.
        first: ``[filters]``, where a filter's weights begin.
        block: inputs of a block.
    """

    coding: str
    weights: Array
    orders: Array
    index: Array
    counts: Array
    levels: Array
    first: Array
    block: int = 0


def code_bits(modes: int) -> int:
    """Bits of a stored level: 2, 4 or 8.

    Raises:
        EvaluationError: there are more modes than a byte can number.
    """
    if modes > _BYTE:
        raise EvaluationError(f"{modes} modes (expected at most {_BYTE})")
    return 2 if modes <= 3 else 4 if modes <= 15 else 8


def pack(levels: Array, bits: int) -> Array:
    """Levels in bytes, the first in the lowest bits."""
    each = 8 // bits
    padded = np.zeros(-(-len(levels) // each) * each, dtype=np.int64)
    padded[: len(levels)] = levels
    shifts = bits * np.arange(each)
    packed: Array = (padded.reshape(-1, each) << shifts).sum(axis=1)
    return packed


def encode(layer: IntegerLayer, modes: int, block: int = 0) -> Coded:
    """The most compact coding that fits the level field of ``layer``.

    Args:
        layer: of a convolution or linear layer.
        modes: how many there are.
        block: inputs of a tile, the same in every mode, if blocks of this size may be used.
    """
    weight, level = _stream(layer.weight.numpy()), _stream(layer.level.numpy())
    if (level == level[:, :1, :1]).all():
        return _filters(weight, level)
    if (level == level[:, :, :1]).all() and (found := _patterns(weight, level, modes)) is not None:
        return found
    if block and layer.weight.dim() == 2 and (found := _blocks(weight, level, block)) is not None:
        return found
    none = np.zeros(0, dtype=np.int64)
    return Coded("weight", weight.ravel(), none, none, none, level.ravel(), none)


def _stream(values: npt.NDArray[np.generic]) -> Array:
    """``[filters, positions, channels]``."""
    flat = values.reshape(values.shape[0], values.shape[1], -1)
    found: Array = np.ascontiguousarray(flat.transpose(0, 2, 1), dtype=np.int64)
    return found


def _filters(weight: Array, level: Array) -> Coded:
    none = np.zeros(0, dtype=np.int64)
    levels = level[:, 0, 0]
    stored = levels > 0
    size = weight[0].size
    first = np.where(stored, (np.cumsum(stored) - 1) * size, 0)
    return Coded("filter", weight[stored].ravel(), none, none, none, levels, first)


def _patterns(weight: Array, level: Array, modes: int) -> Coded | None:
    """None if filters keep different numbers of positions, or there are too many patterns."""
    none = np.zeros(0, dtype=np.int64)
    rows = level[:, :, 0]
    kept = np.stack([((rows > 0) & (rows <= m)).sum(axis=1) for m in range(1, modes + 1)])
    counts = kept[:, 0]
    if (kept != counts[:, None]).any() or rows.shape[1] > _BYTE:
        return None
    # Positions that no mode keeps come last; equal levels in rising order, so that orders that
    # differ in nothing any mode sees are one pattern.
    last = np.where(rows == 0, modes + 1, rows)
    stored = int(counts[-1])
    orders = np.argsort(last, axis=1, kind="stable")[:, :stored]
    pool, index = np.unique(orders, axis=0, return_inverse=True)
    if len(pool) > _BYTE:
        return None
    weights = np.take_along_axis(weight, orders[:, :, None], axis=1)
    return Coded("pattern", weights.ravel(), pool, index.reshape(-1), counts, none, none)


def _blocks(weight: Array, level: Array, block: int) -> Coded | None:
    """None if weights of a block differ in their level."""
    none = np.zeros(0, dtype=np.int64)
    rows, values = level[:, 0], weight[:, 0]
    levels = rows[:, ::block]
    spread = np.repeat(levels, block, axis=1)[:, : rows.shape[1]]
    if (spread != rows).any():
        return None
    stored = rows > 0
    first = np.concatenate([[0], np.cumsum(stored.sum(axis=1))[:-1]])
    return Coded("block", values[stored], none, none, none, levels.ravel(), first, block)
