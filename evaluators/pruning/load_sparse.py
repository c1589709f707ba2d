"""Read a file of pruned weights; needs numpy and safetensors alone.

    python load_sparse.py sparse.safetensors weights.safetensors

writes the weights as they were trained, zeros included. In Python: ``load(path)``.

What the file holds is said by its metadata ``layers``, JSON: name of a weight -> how it is stored:

- ``shape``: of the weight; positions count its entries in C order.
- ``index``: where the entries that are not zero stand. ``none``: everywhere. ``bitmask``: one bit
  for each position, first bit highest, in ``NAME:index``. ``relative``: ``entries`` numbers of
  ``index_bits`` bits in ``NAME:index``; a number below the largest, m, says how many zeros stand
  between an entry and the one before; m itself says that m zeros follow without an entry.
- ``value_bits``: 32: the entries stand in ``NAME:values`` as float32. Fewer: each is a number of
  that many bits in ``NAME:codes``, its place in ``NAME:levels`` (float32).
- ``nonzeros``: how many entries there are.

All other tensors (biases, statistics of norms) are stored as they are.
"""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.numpy import save_file

Array = NDArray[Any]


def load(path: str | Path) -> dict[str, Array]:
    """All tensors of the file under the names that they had in the network.

    Args:
        path: of the file.
    """
    with safe_open(str(path), framework="numpy") as file:
        layers = json.loads((file.metadata() or {})["layers"])
        stored = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # no dict
    found = {name: value for name, value in stored.items() if name.rpartition(":")[0] not in layers}
    for name, layer in layers.items():
        own = {n.rpartition(":")[2]: v for n, v in stored.items() if n.rpartition(":")[0] == name}
        found[name] = dense(layer, own)
    return found


def dense(layer: dict[str, Any], parts: dict[str, Array]) -> Array:
    """One weight, float32, in its shape.

    Args:
        layer: how it is stored.
        parts: ``index``, and ``values`` or ``codes`` and ``levels``.
    """
    size, count = math.prod(layer["shape"]), layer["nonzeros"]
    if layer["value_bits"] == 32:
        values = parts["values"]
    else:
        values = parts["levels"][unpack(parts["codes"], layer["value_bits"], count)]
    weight = np.zeros(size, dtype=np.float32)
    if layer["index"] == "none":
        weight[:] = values
    elif layer["index"] == "bitmask":
        weight[np.unpackbits(parts["index"], count=size).astype(bool)] = values
    else:
        gaps = unpack(parts["index"], layer["index_bits"], layer["entries"])
        most = 2 ** layer["index_bits"] - 1
        skips = gaps == most
        places = np.cumsum(np.where(skips, most, gaps + 1)) - 1
        weight[places[~skips]] = values
    return weight.reshape(layer["shape"])


def unpack(packed: Array, bits: int, count: int) -> Array:
    """``count`` numbers of ``bits`` bits each, highest bit first, int64."""
    flat = np.unpackbits(packed, count=bits * count).reshape(count, bits).astype(np.int64)
    numbers: Array = flat @ (1 << np.arange(bits - 1, -1, -1, dtype=np.int64))
    return numbers


if __name__ == "__main__":
    save_file(load(sys.argv[1]), sys.argv[2])
