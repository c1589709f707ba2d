import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluators.pruning.coding import bound, coded, padding
from spaces.pruning.plan import LayerPruning
from spaces.pruning.units import Layer


def fillers_one_by_one(flat: np.ndarray, bits: int) -> int:
    """The coder as it would be written for a stream: a filler when the run does not fit."""
    count, run = 0, 0
    tail = 0
    for value in flat:
        if value:
            run, tail = 0, count
        elif run == 2**bits - 1:
            count, run = count + 1, 0  # this zero is the filler itself
        else:
            run += 1
    return tail


@given(st.lists(st.booleans(), max_size=200), st.integers(1, 5))
def test_fillers_are_those_of_a_stream(flat: list[bool], bits: int) -> None:
    mask = np.array(flat, bool).reshape(1, -1, 1)
    assert padding(mask, (bits,)) == [fillers_one_by_one(mask.ravel(), bits)]


def test_a_run_of_zeros_by_hand() -> None:
    # 9 zeros, a weight, 4 zeros, a weight, 30 zeros behind it.
    flat = np.zeros(45, bool)
    flat[[9, 14]] = True
    assert padding(flat.reshape(1, 45, 1), (2, 3, 4)) == [2 + 1, 1 + 0, 0]


def sparse(shape: tuple[int, int, int], kept: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    weight = np.zeros(math.prod(shape), np.float32)
    weight[rng.permutation(weight.size)[:kept]] = rng.choice([-1.0, 1.0, 2.0], kept)
    return weight.reshape(shape)


def test_scattered_weights_take_the_best_relative_index() -> None:
    weight = sparse((50, 100, 1), 60)
    made = coded(weight, 4)
    sizes = [(60 + p) * (4 + b) for b, p in enumerate(padding(weight != 0, range(2, 9)), start=2)]
    assert (made.nonzeros, made.values, made.bits) == (60, 240, min(sizes))
    assert coded(weight, 4, index_bits=3).bits == sizes[1] > made.bits


def test_dense_layers_need_no_index() -> None:
    made = coded(np.ones((4, 8, 1), np.float32), 4)
    assert (made.bits, made.index) == (128, 0)


def test_half_full_layers_take_a_bitmap() -> None:
    weight = sparse((16, 16, 1), 128)
    assert coded(weight, 2).bits == 256 + 128 * 2


def test_whole_filters_and_columns_take_a_bit_each() -> None:
    weight = np.zeros((20, 10, 25), np.float32)
    weight[:5, 3:7] = 1.0
    made = coded(weight, 8)
    assert made.index == 20 + 10  # channels are marked more cheaply than their 250 columns
    # One of their columns is empty, and no zero may be stored: 20 kernels have one of two patterns.
    weight[:5, 3, 4] = 0.0
    assert coded(weight, 8).index == 20 + 10 + 20 + 2 * 25


def test_floats_have_a_zero_that_blocks_may_store() -> None:
    weight = np.zeros((20, 100, 1), np.float32)
    weight[:2] = 1.0
    weight[0, 0] = 0.0
    assert coded(weight, 32).index == 20 + 32


def test_kernels_take_one_of_few_patterns() -> None:
    rng = np.random.default_rng(0)
    patterns = np.zeros((8, 9), np.float32)
    for row in patterns:
        row[rng.permutation(9)[:4]] = 1.0
    weight = patterns[rng.integers(0, 8, 32 * 16)].reshape(32, 16, 9)
    assert coded(weight, 8).index == 32 * 16 * 3 + 8 * 9
    weight[7:] = 0
    assert coded(weight, 8).index == 7 * 16 * 3 + 8 * 9 + 32


def test_two_of_four_take_three_bits_a_group() -> None:
    rng = np.random.default_rng(0)
    kept = np.argsort(rng.random((8, 4, 16, 4)), axis=-1) < 2
    weight = kept.reshape(8, 4, 64).transpose(0, 2, 1).astype(np.float32)
    assert coded(weight, 8, groups=4).index == 8 * 4 * 16 * 3
    assert coded(weight, 8).index == 8 * 4 * 64  # not known to be N:M: a bitmap


STRUCTURES = {"element": 432, "filter": 8, "column": 54, "channel": 6, "pattern": 9}
LAYER = Layer("conv", 8, 6, 9, 16)


def masked(structures: dict[str, int], seed: int) -> np.ndarray:
    """Weights of ``LAYER`` that keep as many units, wherever they are."""
    rng = np.random.default_rng(seed)
    weight = np.ones((8, 6, 9), np.float32)
    for structure, kept in structures.items():
        units = rng.permutation(STRUCTURES[structure])[kept:]
        if structure == "element":
            weight.reshape(-1)[units] = 0
        elif structure == "filter":
            weight[units] = 0
        elif structure == "column":
            weight.reshape(8, -1)[:, units] = 0
        elif structure == "channel":
            weight[:, units] = 0
        else:
            pool = np.argsort(rng.random((4, 9)), axis=1) < kept
            weight *= pool[rng.integers(0, 4, 48)].reshape(8, 6, 9)
    return weight


@settings(max_examples=150)
@given(
    st.sampled_from([("element",), ("filter",), ("column",), ("channel",), ("pattern",),
                     ("filter", "column"), ("filter", "channel"), ("filter", "pattern"),
                     ("filter", "channel", "pattern")]),
    st.sampled_from([2, 8, 32]),
    st.integers(0, 2**32),
)  # fmt: skip
def test_no_arrangement_needs_more_than_the_bound(
    structures: tuple[str, ...], bits: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    kept = {s: int(rng.integers(1, STRUCTURES[s] + 1)) for s in structures}
    entries = [LayerPruning("conv", s, k, STRUCTURES[s]) for s, k in kept.items()]
    for index_bits in (None, 4):
        made = coded(masked(kept, seed), bits, index_bits=index_bits)
        most = bound(LAYER, entries, bits, pool=4, index_bits=index_bits)
        assert made.nonzeros <= most.nonzeros
        assert made.bits <= most.bits


def test_bound_of_groups() -> None:
    layer = Layer("fc", 10, 40, 1, 1)
    made = bound(layer, [LayerPruning("fc", "nm", 2, 4)], 8)
    assert (made.nonzeros, made.index) == (200, 100 * 3)
    both = [LayerPruning("fc", "filter", 5, 10), LayerPruning("fc", "nm", 2, 4)]
    assert bound(layer, both, 8).index == 10 + 50 * 3


def test_bound_of_a_whole_layer() -> None:
    assert bound(LAYER, [], 8).bits == 432 * 8
    assert bound(LAYER, [LayerPruning("conv", "filter", 8, 8)], 8).index == 0


@pytest.mark.parametrize("kept", [1, 100, 20_000])
def test_large_layers_are_quick(kept: int) -> None:
    made = coded(sparse((500, 800, 1), kept), 32)
    assert made.nonzeros == kept
