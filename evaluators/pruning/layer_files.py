"""Files of a pruned network's layers: weights without zeros, their loader, and a table."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from evaluators.pruning import load_sparse
from evaluators.pruning.sparse_file import FLOAT_BITS, StoredLayer, dense_bits, write_sparse
from spaces.pruning.plan import PruningPlan

if TYPE_CHECKING:
    from torch import fx

SPARSE, LOADER, TABLE = "sparse.safetensors", "load_sparse.py", "layers.json"


def write_layers(
    network: fx.GraphModule, plan: PruningPlan, shape: tuple[int, ...], directory: Path
) -> dict[str, str]:
    """Write :data:`SPARSE`, :data:`LOADER` and :data:`TABLE` into ``directory``.

    Args:
        network: with pruned weights, on the CPU.
        plan: what they were pruned to.
        shape: of one sample.
        directory: where to.

    Returns:
        What is not there -> why: codes of layers whose weights are on no levels.

    Raises:
        ConfigError: the network does not run on inputs of this shape.
    """
    left_out: dict[str, str] = {}
    stored = _sparse(network, plan, directory / SPARSE, left_out)
    shutil.copyfile(str(load_sparse.__file__), directory / LOADER)
    table = _table(network, plan, stored, shape)
    (directory / TABLE).write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")
    return left_out


def _sparse(
    network: fx.GraphModule, plan: PruningPlan, file: Path, left_out: dict[str, str]
) -> dict[str, StoredLayer]:
    """Layer -> how its weight is stored."""
    state = {name: value.numpy() for name, value in network.state_dict().items()}
    from search.workloads.nested import shared_weights

    wanted = dict.fromkeys(shared_weights(network), FLOAT_BITS)
    for entry in plan.levels:
        name = f"{entry.site}.weight"
        found = len(np.unique(state[name])) - int((state[name] == 0).any())
        if found <= 2**entry.bits:
            wanted[name] = entry.bits
        else:
            left_out[f"{SPARSE}: codes of {name}"] = (
                f"it has {found} values besides zero (expected at most {2**entry.bits}, since the "
                f"plan gives it {entry.bits} bits); they are stored as float32"
            )
    stored = write_sparse(state, wanted, file)
    return {name.removesuffix(".weight"): layer for name, layer in stored.items()}


def _table(
    network: fx.GraphModule,
    plan: PruningPlan,
    stored: Mapping[str, StoredLayer],
    shape: tuple[int, ...],
) -> dict[str, Any]:
    from search.workloads.pruning.unused import UnusedPaths, unused_paths

    unused = unused_paths(network, shape)
    levels = {entry.site: entry for entry in plan.levels}
    rows = {}
    for name, layer in stored.items():
        gone = unused.get(name, UnusedPaths())
        weights = network.get_parameter(f"{name}.weight").numel()
        rows[name] = {
            "shape": list(layer.shape),
            "weights": weights,
            "nonzeros": layer.nonzeros,
            "zeros": weights - layer.nonzeros,
            "kept": [
                {"structure": e.structure, "kept": e.kept, "units": e.units} for e in plan.of(name)
            ],
            "levels": levels[name].levels if name in levels else None,
            "value_bits": layer.value_bits,
            "index": layer.index,
            "index_bits": layer.index_bits,
            "bytes": layer.bits / 8,
            "filters_removed": list(gone.filters),
            "channels_removed": list(gone.channels),
            "filters_held": list(gone.held),
        }
    bits, dense = sum(s.bits for s in stored.values()), sum(dense_bits(s) for s in stored.values())
    kept = sum(layer.nonzeros for layer in stored.values())
    total = {
        "weights": dense // FLOAT_BITS,
        "nonzeros": kept,
        "bytes": bits / 8,
        "bytes_dense_float32": dense / 8,
        "ratio_of_weights": dense / FLOAT_BITS / max(1, kept),
        "ratio_of_bytes": dense / max(1, bits),
    }
    return {"layers": rows, "total": total}
