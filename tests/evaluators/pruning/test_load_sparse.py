"""The loader that is shipped beside the weights: by hand, and without this project."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

from evaluators.pruning import load_sparse
from evaluators.pruning.sparse_file import write_sparse


def test_a_relative_index_by_hand() -> None:
    # Gaps 0, 3 + 1, 2 of two bits each: 3 is a skip of three zeros.
    layer = {
        "shape": [2, 6], "index": "relative", "index_bits": 2, "entries": 4, "nonzeros": 3,
        "value_bits": 1,
    }  # fmt: skip
    parts = {
        "index": np.array([0b00110110], dtype=np.uint8),
        "codes": np.array([0b01100000], dtype=np.uint8),
        "levels": np.array([-0.5, 0.5], dtype=np.float32),
    }
    found = load_sparse.dense(layer, parts)
    assert found.tolist() == [[-0.5, 0, 0, 0, 0, 0.5], [0, 0, 0.5, 0, 0, 0]][:1] + [
        [0, 0, 0.5, 0, 0, 0]
    ]


def test_a_bit_mask_by_hand() -> None:
    layer = {
        "shape": [3], "index": "bitmask", "index_bits": 1, "entries": 3, "nonzeros": 2,
        "value_bits": 32,
    }  # fmt: skip
    parts = {
        "index": np.array([0b01100000], dtype=np.uint8),
        "values": np.array([2.0, 3.0], dtype=np.float32),
    }
    assert load_sparse.dense(layer, parts).tolist() == [0.0, 2.0, 3.0]


def test_the_script_alone_puts_zeros_back(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    weight = np.where(rng.random((6, 5)) < 0.3, rng.standard_normal((6, 5)), 0).astype(np.float32)
    state = {"a.weight": weight, "a.bias": np.ones(6, np.float32)}
    write_sparse(state, {"a.weight": 32}, tmp_path / "sparse.safetensors")
    script = tmp_path / "load_sparse.py"
    script.write_text(Path(load_sparse.__file__).read_text(encoding="utf-8"), encoding="utf-8")
    subprocess.run(
        [sys.executable, "-I", str(script), "sparse.safetensors", "dense.safetensors"],
        check=True, cwd=tmp_path,
    )  # fmt: skip
    found = load_file(tmp_path / "dense.safetensors")
    assert found.keys() == state.keys()
    assert all(np.array_equal(found[name], state[name]) for name in state)
