from pathlib import Path

import numpy as np
import pytest

from evaluators.pruning.load_sparse import Array, dense, load, unpack
from evaluators.pruning.sparse_file import dense_bits, pack, relative_gaps, store, write_sparse
from search.api.errors import EvaluationError


def sparse(shape: tuple[int, ...], keep: float, seed: int = 0) -> Array:
    rng = np.random.default_rng(seed)
    return np.where(rng.random(shape) < keep, rng.standard_normal(shape), 0).astype(np.float32)


@pytest.mark.parametrize("keep", [0.0, 0.002, 0.05, 0.5, 0.95, 1.0])
@pytest.mark.parametrize("seed", range(3))
def test_what_is_stored_comes_back(keep: float, seed: int) -> None:
    weight = sparse((20, 30, 3, 3), keep, seed)
    layer, parts = store(weight, 32)
    assert np.array_equal(dense(vars(layer), parts), weight)
    assert layer.bits <= weight.size + 32 * np.count_nonzero(weight)
    assert sum(p.nbytes for p in parts.values()) * 8 - layer.bits in range(16)
    assert dense_bits(layer) == 32 * weight.size


def test_the_index_suits_the_zeros() -> None:
    found = {keep: store(sparse((100, 100), keep), 32)[0].index for keep in (0.01, 0.6, 1.0)}
    assert found == {0.01: "relative", 0.6: "bitmask", 1.0: "none"}


def test_codes_of_levels() -> None:
    weight = np.sign(sparse((40, 40), 0.1)) * np.float32(0.125)
    layer, parts = store(weight, 1)
    assert np.array_equal(dense(vars(layer), parts), weight)
    assert (layer.value_bits, layer.table) == (1, 2)
    assert parts["levels"].tolist() == [-0.125, 0.125]
    assert layer.bits < 0.03 * dense_bits(layer)
    with pytest.raises(EvaluationError, match="conv: 2 bits cannot tell"):
        store(sparse((40, 40), 0.1), 2, "conv")


@pytest.mark.parametrize("bits", [1, 3, 8, 11])
def test_numbers_of_any_width(bits: int) -> None:
    numbers = np.random.default_rng(1).integers(0, 2**bits, 37)
    packed = pack(numbers, bits)
    assert packed.nbytes == -(-37 * bits // 8)
    assert np.array_equal(unpack(packed, bits, 37), numbers)


def test_gaps_by_hand() -> None:
    assert relative_gaps(np.array([0, 5, 8]), 2).tolist() == [0, 3, 1, 2]
    assert relative_gaps(np.array([7]), 2).tolist() == [3, 3, 1]


def test_a_whole_file(tmp_path: Path) -> None:
    state: dict[str, Array] = {
        "conv.weight": sparse((4, 3, 3, 3), 0.2), "conv.bias": np.ones(4, np.float32),
        "bn.num_batches_tracked": np.array(3), "fc.weight": sparse((4, 5), 0.0),
    }  # fmt: skip
    file = tmp_path / "sparse.safetensors"
    layers = write_sparse(state, {"conv.weight": 32, "fc.weight": 2}, file)
    assert layers["fc.weight"].nonzeros == 0
    found = load(file)
    assert found.keys() == state.keys()
    for name, value in state.items():
        assert found[name].shape == value.shape
        assert np.array_equal(found[name], value)
