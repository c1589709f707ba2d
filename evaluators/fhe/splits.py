"""Baby steps and giant steps: which rotations make all shifts of a linear map, at what price.

Source: Halevi and Shoup, "Faster homomorphic linear transformations in HElib" (CRYPTO 2018),
section 4. Here a shift is split by its bits, low ones against high ones: the baby step takes
either.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from evaluators.fhe.prices import Prices


@dataclass(frozen=True)
class Shifts:
    """Distinct (input ciphertext, result ciphertext, shift) of a linear map: its diagonals.

    Args:
        source, result, shift: ``[diagonals]`` each.
        modulus: period of the input.
    """

    source: np.ndarray
    result: np.ndarray
    shift: np.ndarray
    modulus: int


@dataclass(frozen=True)
class Split:
    """A split of shifts.

    Args:
        mask: bits of a shift that its baby step has; the giant step has the others.
        early: whether inner sums are rescaled before their giant rotation.
        babies, giants, sums: rotations of inputs and of inner sums, and inner sums.
        price: ms of rotations, products and rescalings, without folds.
        sent: whether the client sends the baby steps ready-made.
    """

    mask: int
    early: bool
    babies: int
    giants: int
    sums: int
    price: float
    sent: bool = False


def distinct(source: np.ndarray, result: np.ndarray, shift: np.ndarray, modulus: int) -> Shifts:
    """The diagonals among entries, by counting: as fast as reading them."""
    if not shift.size:
        empty = np.zeros(0, dtype=np.int64)
        return Shifts(empty, empty, empty, modulus)
    sources = int(source.max()) + 1
    key = shift if sources == 1 else shift + modulus * source
    results = int(result.max()) + 1
    if results > 1:
        key = key + (modulus * sources) * result
    found = np.flatnonzero(np.bincount(key, minlength=1))
    rest, shift = np.divmod(found, modulus)
    result, source = np.divmod(rest, sources)
    return Shifts(source, result, shift, modulus)


def split_with(
    shifts: Shifts,
    mask: int,
    prices: Prices,
    limbs: int,
    *,
    sent: bool = False,
    late: bool = False,
) -> Split:
    """The split with the given bits in baby steps, at ``limbs`` limbs of the input.

    With ``late`` inner sums are not rescaled before their giant rotation, whatever that costs.
    """
    baby, giant = shifts.shift & mask, shifts.shift & ~mask
    babies = _distinct(shifts.source, baby, shifts.modulus)
    giants = _distinct(shifts.result, giant, shifts.modulus)
    results = int(np.unique(shifts.result).size)
    sums = giants + int(np.unique(shifts.result[giant == 0]).size)
    rotate, rescale = prices("rotate", limbs), prices("rescale", limbs)
    at_end = giants * rotate + results * rescale
    soon = giants * prices("rotate", limbs - 1) + sums * rescale
    early = soon < at_end and not late
    price = (soon if early else at_end) + shifts.shift.size * (
        prices("multiply_plain", limbs) + prices("add", limbs)
    )
    if sent:
        price += babies * (prices("encode", limbs) + prices("encrypt", limbs))
    else:
        price += babies * rotate
    return Split(mask, early, babies, giants, sums, price, sent)


def best_split(
    shifts: Shifts,
    prices: Prices,
    limbs: int,
    *,
    baby: int = 0,
    sent: bool = False,
    late: bool = False,
) -> Split:
    """The cheapest split, or that with ``baby`` baby steps.

    Args:
        shifts: the diagonals.
        prices: of the operations.
        limbs: of the input.
        baby: number of baby steps, a power of two; 0 for the cheapest.
        sent: whether baby steps may also come from the client.
        late: whether rescaling must wait for the giant steps.
    """
    bits = (shifts.modulus - 1).bit_length()
    if baby:
        masks = [min(baby, shifts.modulus) - 1]
    else:
        low = [(1 << b) - 1 for b in range(bits + 1)]
        masks = [*low, *((shifts.modulus - 1) & ~mask for mask in low[1:-1])]
    ways = (False, True) if sent else (False,)
    found = [
        split_with(shifts, mask, prices, limbs, sent=way, late=late)
        for way in ways
        for mask in masks
    ]
    return min(found, key=lambda split: split.price)


def _distinct(ciphertext: np.ndarray, step: np.ndarray, modulus: int) -> int:
    """Different (ciphertext, step) with a step that is not zero."""
    key = (ciphertext * modulus + step)[step != 0]
    return int(np.count_nonzero(np.bincount(key))) if key.size else 0
