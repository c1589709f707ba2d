"""What the client sends."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_array, random_array

from evaluators.fhe.input_packing import (
    InputSlots,
    OutputSlots,
    Sent,
    columns,
    contents,
    rolled,
    shifted,
    standing,
)
from evaluators.fhe.layout import rows, spread

SLOTS = 64


def matrix(outputs: int, inputs: int, density: float = 1.0) -> csr_array:
    rng = np.random.default_rng(0)
    return csr_array(random_array((outputs, inputs), density=density, rng=rng))


def summed(made: Sent, x: np.ndarray, results: int = 1) -> np.ndarray:
    """``[results, slots]`` from the products, straight from their definition."""
    held, p = InputSlots(made.index)(x), made.products
    slots = np.zeros((results, SLOTS))
    for copy in range(0, SLOTS, p.period):
        at = p.slot + copy
        np.add.at(slots, (p.result, at), p.values * held[p.source, (at + p.shift) % SLOTS])
    for step in p.folds:
        slots = slots + np.roll(slots, -step, axis=1)
    return slots


def test_input_slots_take_elements_and_zeros() -> None:
    found = InputSlots(np.array([[1, -1], [0, 2]]))(np.array([[5.0, 6.0, 7.0]]))
    assert found.tolist() == [[6, 0], [5, 7]]


def test_output_slots_are_those_of_the_layout() -> None:
    layout = spread(3, 8, 1, 4)
    values = np.arange(16.0).reshape(2, 8)
    assert OutputSlots(layout, 8)(values).tolist() == [0, 4, 8]


def test_contents_repeat_with_the_period() -> None:
    assert contents(rows((3,), 8), 8).tolist() == [[0, 1, 2, -1] * 2]
    assert contents(rows((3,), 2), 2).tolist() == [[0, 1], [2, -1]]


def test_standing_names_a_slot_of_each_element() -> None:
    index = np.array([[-1, 2, 0, 2], [1, 2, -1, -1]])
    layout = standing(index, 4, "columns 2")
    assert layout.slots.tolist() == [2, 4, 1, 0]
    assert (layout.ciphertexts, layout.period) == (2, 4)


@pytest.mark.parametrize("blocks", [1, 2, 4, 8])
def test_columns_need_sums_alone(blocks: int) -> None:
    m, result = matrix(6, 20, 0.4), rows((6,), SLOTS)
    made = columns(m, result, SLOTS, blocks)
    x = np.arange(1.0, 21.0)
    assert not made.products.shift.any()
    assert len(made.index) == -(-int(np.diff(m.indptr).max()) // blocks)
    for copy in range(0, SLOTS, 8):
        np.testing.assert_allclose(summed(made, x)[0, result.slots + copy], m @ x)
    assert len(made.products.folds) == blocks.bit_length() - 1


def test_columns_for_several_results() -> None:
    m, result = matrix(100, 9, 0.5), rows((100,), SLOTS)
    made = columns(m, result, SLOTS, 1)
    x = np.arange(1.0, 10.0)
    found = summed(made, x, 2)
    np.testing.assert_allclose(found.reshape(-1)[:100], m @ x)


@pytest.mark.parametrize(("outputs", "inputs", "diagonals"), [(4, 10, 1), (4, 3, 1), (8, 12, 4)])
def test_shifted_copies_leave_few_diagonals(outputs: int, inputs: int, diagonals: int) -> None:
    m, result = matrix(outputs, inputs), rows((outputs,), SLOTS)
    made = shifted(m, result, SLOTS)
    assert made is not None
    assert len(made.index) == 1
    x = np.arange(1.0, inputs + 1)
    assert set(made.products.shift.tolist()) <= set(range(outputs))
    for copy in range(0, SLOTS, result.period):
        np.testing.assert_allclose(summed(made, x)[0, result.slots + copy], m @ x)
    assert len(set(made.products.shift.tolist())) == diagonals


def test_shifted_copies_need_room() -> None:
    assert shifted(matrix(4, 60), rows((4,), SLOTS), SLOTS) is None
    assert shifted(matrix(100, 4), rows((100,), SLOTS), SLOTS) is None


def test_rolled_contents() -> None:
    assert rolled(np.array([[0, 1, 2], [3, 4, 5]]), [(0, 0), (1, 1)]).tolist() == [
        [0, 1, 2],
        [4, 5, 3],
    ]
