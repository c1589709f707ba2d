"""The terms of a packed linear map and their diagonals, made on demand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from evaluators.fhe.packed import PackedLinear, Term
from evaluators.fhe.products import Products, period_of, place

if TYPE_CHECKING:
    from scipy.sparse import csr_array

    from evaluators.fhe.edges import Evaluation
    from evaluators.fhe.packed import Layout
    from evaluators.fhe.products import Sums


_LARGE = 1_000_000  # entries: about 40 MB with their places


@dataclass(frozen=True, eq=False)
class Placed:
    """The products of a matrix between two layouts, when they are asked for."""

    matrix: csr_array
    source: Layout
    result: Layout
    slots: int
    sums: Sums

    def __call__(self) -> Products:
        """The products."""
        return place(self.matrix, self.source, self.result, self.slots, self.sums)

    @property
    def period(self) -> int:
        """Slots after which the diagonals repeat."""
        return period_of(self.source, self.result, self.slots)


@dataclass(frozen=True, eq=False)
class Known:
    """Products that are there already."""

    products: Products

    def __call__(self) -> Products:
        """The products."""
        return self.products

    @property
    def period(self) -> int:
        """Slots after which the diagonals repeat."""
        return self.products.period


@dataclass(frozen=True, eq=False)
class Diagonals:
    """Index of a term -> its diagonal ``[slots]``, rotated back by its giant step.

    The products of all entries are made when the first diagonal is asked for: who only counts
    terms never pays for them. Those of a large map are let go with its last diagonal, since walks
    go through the terms in order and a deep network's products take gigabytes.

    Args:
        make: the products.
        keys: ``[terms]`` (result, input, shift) of each term as one number, see :func:`_keys`.
        giants: ``[terms]``.
        sources: input ciphertexts.
        slots: numbers in one ciphertext.
    """

    make: Callable[[], Products]
    keys: np.ndarray
    giants: np.ndarray
    sources: int
    slots: int

    @cached_property
    def _sorted(self) -> tuple[Products, np.ndarray, np.ndarray]:
        products = self.make()
        at = np.zeros(int(self.keys.max(initial=0)) + 1, dtype=np.int32)
        at[self.keys] = np.arange(self.keys.size)
        key = _keys(
            products.result, products.source, products.shift, self.sources, products.modulus
        )
        term = at[key]
        order = np.argsort(term, kind="stable")
        starts = np.searchsorted(term[order], np.arange(self.keys.size + 1))
        return products, order, starts

    def __call__(self, index: int) -> np.ndarray:
        """The diagonal of term ``index``."""
        products, order, starts = self._sorted
        own = order[starts[index] : starts[index + 1]]
        diagonal = np.zeros(products.period)
        diagonal[products.slot[own]] = products.values[own]
        if index == self.keys.size - 1 and products.values.size > _LARGE:
            del self.__dict__["_sorted"]
        copies = np.tile(diagonal, self.slots // products.period)
        return np.roll(copies, int(self.giants[index]))


@dataclass(frozen=True, eq=False)
class Bias:
    """The bias of a linear map in every copy of its result.

    Args:
        values: ``[outputs]``.
        layout: of the result.
        slots: numbers in one ciphertext.
    """

    values: np.ndarray
    layout: Layout
    slots: int

    def __call__(self) -> np.ndarray:
        """``[result ciphertexts, slots]``."""
        period = self.layout.period if self.layout.ciphertexts == 1 else self.slots
        bias = np.zeros((self.layout.ciphertexts, period))
        at = self.layout.slots
        bias[at // self.slots, at % self.slots] = self.values
        return np.tile(bias, (1, self.slots // period))


def packed_linear(
    name: str,
    way: Evaluation,
    make: Placed | Known,
    bias: np.ndarray,
    source: Layout,
    result: Layout,
    slots: int,
) -> PackedLinear:
    """The linear map evaluated as chosen.

    Args:
        name: of the graph's node.
        way: its diagonals, rotations and partial sums.
        make: its entries in slots, on demand.
        bias: ``[outputs]``.
        source: layout of the input.
        result: layout of the result.
        slots: numbers in one ciphertext.
    """
    found = way.shifts
    modulus, mask = found.modulus, way.split.mask
    # a result without entries still needs a term
    lonely = np.setdiff1d(np.arange(result.ciphertexts), found.result)
    none = np.zeros_like(lonely)
    inputs = np.concatenate([found.source, none])
    results = np.concatenate([found.result, lonely])
    shifts = np.concatenate([found.shift, none])
    babies, giants = shifts & mask, shifts & ~mask
    order = np.lexsort((babies, inputs, giants, results))  # as an engine sums
    sources = int(inputs.max(initial=0)) + 1
    terms = tuple(
        Term(int(inputs[k]), int(results[k]), int(babies[k]), int(giants[k])) for k in order
    )
    keys = _keys(results, inputs, shifts, sources, modulus)[order]
    diagonals = Diagonals(make, keys, giants[order], sources, slots)
    early, values = way.split.early, Bias(bias, result, slots)
    return PackedLinear(
        name, source, result, terms, way.folds, early, diagonals, values, way.fold_first,
        make.period,
    )  # fmt: skip


def _keys(
    result: np.ndarray, source: np.ndarray, shift: np.ndarray, sources: int, modulus: int
) -> np.ndarray:
    """One number for each diagonal."""
    return np.asarray((result * sources + source) * modulus + shift, dtype=np.int64)
