"""Where each entry of a matrix is multiplied when the linear map is done in slots.

The general scheme. An output stands at slot p, an input at slot q of a content with period n. Their
product is made at slot j by the diagonal with shift k = q - j mod n. Without partial sums j = p.
With them j = p + t, where t has only bits that no output position has; at the end a rotate-and-add
for each of these bits brings the products of all t together at p. So k has only the bits that are
not summed, and there are few diagonals. Outputs then repeat with every bit above the highest one
that their positions use: the copies that the next layer profits from.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from scipy.sparse import csr_array

    from evaluators.fhe.packed import Layout


@dataclass(frozen=True)
class Products:
    """Every product of one linear map.

    Args:
        source, result: ``[entries]`` ciphertexts of input and output.
        shift: ``[entries]`` rotation of the input, in [0, modulus).
        slot: ``[entries]`` where the product is made, in [0, period).
        values: ``[entries]``.
        modulus: period of the input.
        period: period of the diagonals.
        folds: rotations of the sums at the end.
    """

    source: np.ndarray
    result: np.ndarray
    shift: np.ndarray
    slot: np.ndarray
    values: np.ndarray
    modulus: int
    period: int
    folds: tuple[int, ...]


@dataclass(frozen=True)
class Sums:
    """How partial sums are made.

    Args:
        fold: whether there are any (False: the square embedding).
        carry: whether the summed bits are those of q - p (few diagonals if positions are dense) or
            of q alone (few sums if the inputs leave bits unused).
        lean: whether sums that only make copies of the result are left out.
    """

    fold: bool = True
    carry: bool = True
    lean: bool = False


def entries(matrix: csr_array) -> tuple[np.ndarray, np.ndarray]:
    """(outputs, inputs) of the entries of ``matrix``, in the order of its values."""
    outputs = np.repeat(np.arange(matrix.shape[0], dtype=np.int32), np.diff(matrix.indptr))
    return outputs, np.asarray(matrix.indices, dtype=np.int32)


def summed_bits(source: Layout, result: Layout, slots: int, fold: bool = True) -> int:
    """The bits of a position below the input's period that partial sums run over."""
    if not fold:
        return 0
    used = int(np.bitwise_or.reduce(result.slots % slots)) if result.slots.size else 0
    above = (result.period - 1) & ~((1 << used.bit_length()) - 1)
    return (source.period - 1) & ~(used | above)


def fits(source: Layout, result: Layout, *, fold: bool) -> bool:
    """Whether the result has the period that ``result`` claims: without sums it cannot shrink."""
    return fold or result.period >= source.period


def place(
    matrix: csr_array, source: Layout, result: Layout, slots: int, sums: Sums | None = None
) -> Products:
    """Slots and shifts of every entry of ``matrix`` between two layouts."""
    sums = sums or Sums()
    outputs, inputs = entries(matrix)
    position, wanted = source.slots[inputs], result.slots[outputs]
    q, p = position % slots, wanted % slots
    mask = summed_bits(source, result, slots, sums.fold)
    modulus = source.period
    summed = ((q - p) if sums.carry else q) & mask
    slot = p + summed
    bits = int(np.bitwise_or.reduce(summed)) if summed.size else 0
    if not sums.lean:  # sums above the used bits make copies, those between only collect products
        used = int(np.bitwise_or.reduce(result.slots % slots)) if result.slots.size else 0
        bits |= mask & ~((1 << used.bit_length()) - 1)
    return Products(
        position // slots,
        wanted // slots,
        (q - slot) & (modulus - 1),
        slot,
        np.asarray(matrix.data),
        modulus,
        period_of(source, result, slots),
        folds_of(bits),
    )


def period_of(source: Layout, result: Layout, slots: int) -> int:
    """Slots after which the diagonals of a map between two layouts repeat."""
    return slots if result.ciphertexts > 1 else max(source.period, result.period)


def folds_of(bits: int) -> tuple[int, ...]:
    """One rotation for each bit, the largest first."""
    return tuple(1 << b for b in reversed(range(bits.bit_length())) if bits >> b & 1)
