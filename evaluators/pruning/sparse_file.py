"""Write pruned weights without their zeros: positions and values, or codes of levels.

Each layer's positions are a bit mask or relative indices, whichever takes fewer bits. The format
is described in :mod:`evaluators.pruning.load_sparse`, which reads it and is shipped beside it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from search.api.errors import EvaluationError

Array = NDArray[Any]

FLOAT_BITS = 32
_MOST_INDEX_BITS = 16


@dataclass(frozen=True)
class StoredLayer:
    """How one weight is stored.

    Args:
        shape: of the weight.
        nonzeros: entries that are not zero.
        index: ``none``, ``bitmask`` or ``relative``.
        index_bits: of a relative index; 1 for a bit mask, 0 without index.
        entries: numbers that the index has.
        value_bits: 32 for float32, else bits of a code.
        table: levels that codes choose from; 0 for float32.
    """

    shape: tuple[int, ...]
    nonzeros: int
    index: str
    index_bits: int
    entries: int
    value_bits: int
    table: int

    @property
    def bits(self) -> int:
        """Of index, values and table of levels."""
        values = self.nonzeros * self.value_bits + self.table * FLOAT_BITS
        return self.entries * self.index_bits + values


def write_sparse(
    state: Mapping[str, Array], weights: Mapping[str, int], path: Path
) -> dict[str, StoredLayer]:
    """Write all tensors of a network, those named in ``weights`` without their zeros.

    Args:
        state: name -> tensor.
        weights: name of a weight -> bits of its values: 32 for float32, else codes.
        path: file to write.

    Returns:
        How each weight is stored.

    Raises:
        EvaluationError: a weight has more values than its bits can tell apart.
    """
    from safetensors.numpy import save_file

    tensors = {name: value for name, value in state.items() if name not in weights}
    layers = {}
    for name, bits in weights.items():
        layers[name], parts = store(state[name], bits, name)
        tensors |= {f"{name}:{part}": value for part, value in parts.items()}
    told = json.dumps({name: asdict(layer) for name, layer in layers.items()})
    save_file(
        {name: value.copy(order="C") for name, value in tensors.items()},
        path,
        metadata={"format": "cipher-search sparse weights 1", "layers": told},
    )
    return layers


def store(weight: Array, bits: int, name: str = "weight") -> tuple[StoredLayer, dict[str, Array]]:
    """One weight in its smallest form.

    Args:
        weight: of any shape.
        bits: of a value; 32 for float32.
        name: for messages.

    Returns:
        How it is stored; ``index``, and ``values`` or ``codes`` and ``levels``.

    Raises:
        EvaluationError: there are more values than ``bits`` can tell apart.
    """
    flat = np.asarray(weight, dtype=np.float32).reshape(-1)
    places = np.flatnonzero(flat)
    values = flat[places]
    parts: dict[str, Array] = {}
    table = 0
    if bits < FLOAT_BITS:
        levels, codes = np.unique(values, return_inverse=True)
        table = len(levels)
        if table > 2**bits:
            raise EvaluationError(
                f"{name}: {bits} bits cannot tell its {table} values apart (expected at most "
                f"{2**bits})"
            )
        parts |= {"codes": pack(codes, bits), "levels": levels}
    else:
        parts["values"] = values
    index, index_bits, numbers = _index(places, flat.size)
    if index != "none":
        parts["index"] = pack(numbers, index_bits)
    layer = StoredLayer(
        tuple(weight.shape), len(places), index, index_bits, len(numbers), bits, table
    )
    return layer, parts


def pack(numbers: Array, bits: int) -> Array:
    """Numbers of ``bits`` bits each, highest bit first, without gaps, as bytes."""
    shifts = np.arange(bits - 1, -1, -1)
    return np.packbits(((numbers.reshape(-1, 1) >> shifts) & 1).astype(np.uint8))


def relative_gaps(places: Array, bits: int) -> Array:
    """Relative indices of ``places`` (rising), of ``bits`` bits each, skips included."""
    most = 2**bits - 1
    gaps = np.diff(places, prepend=-1) - 1
    skips = gaps // most
    numbers = np.full(len(places) + int(skips.sum()), most, dtype=np.int64)
    numbers[np.arange(len(places)) + np.cumsum(skips)] = gaps % most
    return numbers


def _index(places: Array, size: int) -> tuple[str, int, Array]:
    """(kind of index, bits of a number, numbers) of the fewest bits."""
    if len(places) == size:
        return "none", 0, np.zeros(0, dtype=np.int64)
    gaps = np.diff(places, prepend=-1) - 1
    costs = {
        bits: bits * (len(places) + int((gaps // (2**bits - 1)).sum()))
        for bits in range(1, _MOST_INDEX_BITS + 1)
    }
    best = min(costs, key=lambda bits: costs[bits])
    if costs[best] < size:
        return "relative", best, relative_gaps(places, best)
    mask = np.zeros(size, dtype=np.int64)
    mask[places] = 1
    return "bitmask", 1, mask


def dense_bits(layer: StoredLayer) -> int:
    """Bits of the weight with its zeros, as float32."""
    return math.prod(layer.shape) * FLOAT_BITS
