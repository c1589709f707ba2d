"""What the client sends: which element of the input stands in which slot of which ciphertext."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from evaluators.fhe.layout import power
from evaluators.fhe.packed import Layout
from evaluators.fhe.products import Products, entries, folds_of

if TYPE_CHECKING:
    from scipy.sparse import csr_array


@dataclass(frozen=True, eq=False)
class InputSlots:
    """Flattened input ``[elements]`` -> ``[ciphertexts, slots]``.

    Args:
        index: ``[ciphertexts, slots]`` element in each slot, -1 for none.
    """

    index: np.ndarray

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """The slots of one input."""
        return np.asarray(np.append(np.asarray(x, dtype=float).reshape(-1), 0.0)[self.index])


@dataclass(frozen=True, eq=False)
class OutputSlots:
    """``[ciphertexts, slots]`` -> ``[outputs]``.

    Args:
        layout: of the output.
        slots: numbers in one ciphertext.
    """

    layout: Layout
    slots: int

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """The outputs among the slots."""
        at = self.layout.slots
        return np.asarray(np.asarray(values)[at // self.slots, at % self.slots])


def contents(layout: Layout, slots: int) -> np.ndarray:
    """``[ciphertexts, slots]`` elements of a layout in all its copies, -1 where there is none."""
    period = layout.period if layout.ciphertexts == 1 else slots
    index = np.full((layout.ciphertexts, period), -1, dtype=np.int64)
    index[layout.slots // slots, layout.slots % slots] = np.arange(layout.slots.size)
    return np.tile(index, (1, slots // period))


def standing(index: np.ndarray, elements: int, name: str) -> Layout:
    """Where each element stands first in what the client sends (slot 0 if it is not sent)."""
    flat = index.reshape(-1)
    positions = np.zeros(elements, dtype=np.int64)
    known = np.flatnonzero(flat >= 0)[::-1]
    positions[flat[known]] = known
    return Layout(positions, index.shape[1], len(index), name)


@dataclass(frozen=True, eq=False)
class Sent:
    """What the client sends, made for one linear map, and the products that it takes.

    Args:
        name: for people.
        index: ``[ciphertexts, slots]`` element in each slot, -1 for none.
        products: of the linear map.
    """

    name: str
    index: np.ndarray
    products: Products


def columns(matrix: csr_array, result: Layout, slots: int, blocks: int) -> Sent:
    """Every output gets its inputs at its own slot (im2col): no rotations but partial sums.

    The products of one output stand in ``blocks`` blocks of the result's period, and in as many
    ciphertexts as that takes.

    Args:
        matrix: of the linear map.
        result: layout of its outputs.
        slots: numbers in one ciphertext.
        blocks: a power of two; one if the result takes several ciphertexts.
    """
    outputs, inputs = entries(matrix)
    rank = np.arange(outputs.size) - matrix.indptr[outputs]
    each = -(-max(int(rank.max(initial=-1)) + 1, 1) // blocks)
    block, number = np.divmod(rank, each)
    made, at = np.divmod(result.slots[outputs], slots)
    period = result.period * blocks if result.ciphertexts == 1 else slots
    source, slot = number + each * made, block * result.period + at
    index = np.full((each * result.ciphertexts, period), -1, dtype=np.int64)
    index[source, slot] = inputs
    folds = folds_of(period - result.period)
    nothing = np.zeros(outputs.size, dtype=np.int64)
    products = Products(source, made, nothing, slot, np.asarray(matrix.data), slots, period, folds)
    return Sent(f"columns {len(index)}", np.tile(index, (1, slots // period)), products)


def shifted(matrix: csr_array, result: Layout, slots: int) -> Sent | None:
    """One ciphertext with copies of the input, each shifted further: fewer diagonals remain.

    With inputs in ``parts`` parts of the result's period m, blocks of n slots and R = slots / n
    copies, copy c holds the input shifted by c m / R. The distance from output to input is
    k + c m / R + t m: c chooses the copy, t the partial sum, and only k < m / R is a rotation.

    Returns:
        None if there is no room for copies.
    """
    elements, period = matrix.shape[1], result.period
    parts = -(-elements // period)
    block = power(parts * period)
    while block < slots and (
        slots // block > period or parts * period + period * block // slots > block
    ):
        block *= 2
    copies = slots // block
    if copies < 2 or result.ciphertexts > 1:
        return None
    step = period // copies
    outputs, inputs = entries(matrix)
    wanted = result.slots[outputs]
    distance = (inputs - wanted) % (parts * period)
    part, rest = np.divmod(distance, period)
    copy, shift = np.divmod(rest, step)
    slot = copy * block + part * period + wanted
    place = np.arange(slots)
    element = (place % block + place // block * step) % (parts * period)
    inside = (place % block < parts * period + step) & (element < elements)
    index = np.where(inside, element, -1)[None, :]
    nothing = np.zeros(outputs.size, dtype=np.int64)
    products = Products(
        nothing, nothing, shift, slot, np.asarray(matrix.data), slots, slots,
        folds_of(slots - period),
    )  # fmt: skip
    return Sent(f"shifted {copies} by {step}", index, products)


def rolled(index: np.ndarray, babies: Sequence[tuple[int, int]]) -> np.ndarray:
    """Contents with baby steps done by the client: one ciphertext for each (ciphertext, step)."""
    return np.stack([np.roll(index[number], -step) for number, step in babies])
