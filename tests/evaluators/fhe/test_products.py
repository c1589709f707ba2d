"""Products of a linear map in slots: each entry once, at a place where its sum arrives."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_array, random_array

from evaluators.fhe.input_packing import contents
from evaluators.fhe.layout import rows, spread
from evaluators.fhe.packed import Layout
from evaluators.fhe.products import Sums, entries, fits, folds_of, place, summed_bits

SLOTS = 64


def matrix(outputs: int, inputs: int) -> csr_array:
    return csr_array(random_array((outputs, inputs), density=0.5, rng=np.random.default_rng(0)))


def evaluated(m: csr_array, source: Layout, result: Layout, sums: Sums) -> np.ndarray:
    """All slots of the single result, straight from the products."""
    products = place(m, source, result, SLOTS, sums)
    x = np.arange(1.0, m.shape[1] + 1)
    held = np.append(x, 0.0)[contents(source, SLOTS)]
    slots = np.zeros(SLOTS)
    for copy in range(0, SLOTS, products.period):
        at = products.slot + copy
        np.add.at(slots, at, products.values * held[products.source, (at + products.shift) % SLOTS])
    for step in products.folds:
        slots = slots + np.roll(slots, -step)
    return slots


def test_entries_follow_the_values() -> None:
    m = csr_array(np.array([[0.0, 2.0], [3.0, 4.0]]))
    outputs, inputs = entries(m)
    assert outputs.tolist() == [0, 1, 1]
    assert inputs.tolist() == [1, 0, 1]


@pytest.mark.parametrize("carry", [True, False])
@pytest.mark.parametrize("fold", [True, False])
@pytest.mark.parametrize(
    ("source", "result"),
    [
        (rows((30,), SLOTS), rows((5,), SLOTS)),
        (rows((5,), SLOTS), rows((30,), SLOTS)),
        (rows((16,), SLOTS), spread(8, SLOTS, 2, 16)),
        (spread(8, SLOTS, 2, 16), rows((5,), SLOTS)),
        (rows((100,), SLOTS), rows((4,), SLOTS)),
    ],
)
def test_sums_arrive(source: Layout, result: Layout, fold: bool, carry: bool) -> None:
    m = matrix(result.slots.size, source.slots.size)
    slots = evaluated(m, source, result, Sums(fold, carry))
    expected = m @ np.arange(1.0, m.shape[1] + 1)
    copies = SLOTS // result.period if fits(source, result, fold=fold) else 1
    for copy in range(copies):
        np.testing.assert_allclose(slots[result.slots + copy * result.period], expected)


def test_lean_sums_leave_copies_out() -> None:
    source, result = spread(8, SLOTS, 2, 16), rows((4,), SLOTS)
    m = matrix(4, 8)
    full = place(m, source, result, SLOTS, Sums(carry=False))
    lean = place(m, source, result, SLOTS, Sums(carry=False, lean=True))
    assert full.folds == (32, 16, 8, 4)
    assert lean.folds == (32, 16)
    np.testing.assert_allclose(
        evaluated(m, source, result, Sums(carry=False, lean=True))[result.slots],
        m @ np.arange(1.0, 9.0),
    )


def test_summed_bits_are_those_that_results_leave_free() -> None:
    source = rows((64,), SLOTS)
    assert summed_bits(source, rows((8,), SLOTS), SLOTS) == 0b111000
    assert summed_bits(source, rows((8,), SLOTS, 32), SLOTS) == 0b100000
    assert summed_bits(source, spread(4, SLOTS, 1, 16), SLOTS) == 0b001111
    assert summed_bits(source, rows((8,), SLOTS), SLOTS, fold=False) == 0


def test_fold_bounds_the_diagonals() -> None:
    m = csr_array(np.ones((8, 64)))
    products = place(m, rows((64,), SLOTS), rows((8,), SLOTS), SLOTS)
    assert set(products.shift.tolist()) == set(range(8))
    square = place(m, rows((64,), SLOTS), rows((8,), SLOTS), SLOTS, Sums(fold=False))
    assert len(set(square.shift.tolist())) == 64


def test_folds_of() -> None:
    assert folds_of(0b1010) == (8, 2)
    assert folds_of(0) == ()
