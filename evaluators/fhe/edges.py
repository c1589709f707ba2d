"""What a linear map costs between two layouts, and how it is then evaluated."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from evaluators.fhe.products import Products, Sums, entries, fits, folds_of, place, summed_bits
from evaluators.fhe.splits import Shifts, Split, best_split, distinct

if TYPE_CHECKING:
    from evaluators.fhe.graph import Linear
    from evaluators.fhe.packed import Layout
    from evaluators.fhe.prices import Prices
    from spaces.ckks.params import LayerPacking

_FEW = 4_000_000  # entries up to which the variant that must look at each of them is tried


@dataclass(frozen=True)
class Evaluation:
    """How a linear map is evaluated between given layouts.

    Args:
        sums: its partial sums.
        folds: rotations that make them.
        shifts: its diagonals.
        split: its rotations.
        price: ms at the server, and at the client for baby steps it sends.
        fold_first: whether folds come before rescaling.
    """

    sums: Sums
    folds: tuple[int, ...]
    shifts: Shifts
    split: Split
    price: float
    fold_first: bool = False


@dataclass(eq=False)
class Edge:
    """One linear map of which layouts are compared.

    Args:
        linear: the map.
        packing: what was chosen for it.
        limbs: of its input.
        slots: numbers in one ciphertext.
        prices: of operations.
        last: whether nothing reads its result, so that no copies of it are needed.
    """

    linear: Linear
    packing: LayerPacking
    limbs: int
    slots: int
    prices: Prices
    last: bool = False
    _distances: dict[tuple[str, str], Shifts] = field(default_factory=dict)

    def evaluation(
        self, source: Layout, result: Layout, *, sent: bool = False
    ) -> Evaluation | None:
        """The cheapest way between two layouts; None if there is none."""
        fold = self.packing.embedding == "fold"
        if not fits(source, result, fold=fold) and not self.last:
            return None
        found = [self._carried(source, result, sent=sent)]
        sparse = self.last or "spread" in source.name
        if fold and sparse and self.linear.matrix.nnz <= _FEW:
            sums = Sums(fold=True, carry=False, lean=self.last)
            products = place(self.linear.matrix, source, result, self.slots, sums)
            found.append(self.of(products, sums, result, sent=sent))
        return min(found, key=lambda e: e.price)

    def of(
        self, products: Products, sums: Sums, result: Layout, *, sent: bool = False
    ) -> Evaluation:
        """The evaluation of given products."""
        shifts = distinct(products.source, products.result, products.shift, products.modulus)
        return self._priced(shifts, products.folds, sums, result, sent=sent)

    def distances(self, source: Layout, result: Layout) -> Shifts:
        """Distinct distances between the slots of inputs and outputs."""
        key = (source.name, result.name)
        if key not in self._distances:
            outputs, inputs = entries(self.linear.matrix)
            q, p = (a.slots.astype(np.int32) for a in (source, result))
            shift = ((q % self.slots)[inputs] - (p % self.slots)[outputs]) & (self.slots - 1)
            none = np.zeros(1, dtype=np.int32)
            held = (q // self.slots)[inputs] if source.ciphertexts > 1 else none
            made = (p // self.slots)[outputs] if result.ciphertexts > 1 else none
            self._distances[key] = distinct(held, made, shift, self.slots)
        return self._distances[key]

    def _carried(self, source: Layout, result: Layout, *, sent: bool) -> Evaluation:
        fold = self.packing.embedding == "fold"
        far = self.distances(source, result)
        mask = summed_bits(source, result, self.slots, fold)
        modulus = source.period
        shift = far.shift & (modulus - 1)
        summed = int(np.bitwise_or.reduce(shift & mask)) if shift.size else 0
        used = int(np.bitwise_or.reduce(result.slots % self.slots))
        copies = 0 if self.last else mask & ~((1 << used.bit_length()) - 1)
        shifts = distinct(far.source, far.result, shift & ~mask, modulus)
        folds = folds_of(summed | copies)
        return self._priced(shifts, folds, Sums(fold, True, self.last), result, sent=sent)

    def _priced(
        self,
        shifts: Shifts,
        folds: tuple[int, ...],
        sums: Sums,
        result: Layout,
        *,
        sent: bool,
    ) -> Evaluation:
        late = self.packing.rescaling == "last"
        first = late and bool(folds)
        split = best_split(
            shifts, self.prices, self.limbs, baby=self.packing.baby, sent=sent, late=late
        )
        at = self.limbs if first else self.limbs - 1
        sum_price = self.prices("rotate", at) + self.prices("add", at)
        price = split.price + len(folds) * result.ciphertexts * sum_price
        return Evaluation(sums, folds, shifts, split, price, first)
