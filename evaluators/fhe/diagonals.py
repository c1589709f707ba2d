"""The terms of a packed linear map and their diagonals, made on demand."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from evaluators.fhe.packed import PackedLinear, Term

if TYPE_CHECKING:
    from evaluators.fhe.packed import Layout
    from evaluators.fhe.products import Products
    from evaluators.fhe.splits import Split


@dataclass(frozen=True, eq=False)
class Diagonals:
    """Index of a term -> its diagonal ``[slots]``, rotated back by its giant step.

    Args:
        products: entries of the map.
        term: ``[entries]`` index of the term of each.
        giants: ``[terms]``.
        slots: numbers in one ciphertext.
    """

    products: Products
    term: np.ndarray
    giants: np.ndarray
    slots: int

    @cached_property
    def _order(self) -> tuple[np.ndarray, np.ndarray]:
        order = np.argsort(self.term, kind="stable")
        starts = np.searchsorted(self.term[order], np.arange(len(self.giants) + 1))
        return order, starts

    def __call__(self, index: int) -> np.ndarray:
        """The diagonal of term ``index``."""
        order, starts = self._order
        own = order[starts[index] : starts[index + 1]]
        diagonal = np.zeros(self.products.period)
        diagonal[self.products.slot[own]] = self.products.values[own]
        copies = np.tile(diagonal, self.slots // self.products.period)
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
    products: Products,
    split: Split,
    bias: np.ndarray,
    source: Layout,
    result: Layout,
    slots: int,
) -> PackedLinear:
    """The linear map with its shifts split.

    Args:
        name: of the graph's node.
        products: its entries in slots.
        split: into baby steps and giant steps.
        bias: ``[outputs]``.
        source: layout of the input.
        result: layout of the result.
        slots: numbers in one ciphertext.
    """
    baby = products.shift & split.mask
    giant = products.shift - baby
    modulus = products.modulus
    sources = int(products.source.max()) + 1 if products.source.size else 1
    # result, giant, source, baby: the order in which an engine sums
    key = (products.result.astype(np.int64) * modulus + giant) * sources + products.source
    key = key * modulus + baby
    # a result without entries still needs a term
    every = np.arange(result.ciphertexts, dtype=np.int64) * modulus * sources * modulus
    lonely = every[~np.isin(np.arange(every.size), products.result)]
    found, term = np.unique(np.concatenate([key, lonely]), return_inverse=True)
    rest, babies = np.divmod(found, modulus)
    rest, inputs = np.divmod(rest, sources)
    results, giants = np.divmod(rest, modulus)
    terms = tuple(
        Term(int(i), int(o), int(b), int(g))
        for i, o, b, g in zip(inputs, results, babies, giants, strict=True)
    )
    return PackedLinear(
        name, source, result, terms, products.folds, split.early,
        Diagonals(products, term.reshape(-1)[: key.size], giants, slots), Bias(bias, result, slots),
    )  # fmt: skip
