"""Baby and giant steps by price."""

from __future__ import annotations

import numpy as np
import pytest

from evaluators.fhe.costs import shipped_times
from evaluators.fhe.prices import Prices
from evaluators.fhe.splits import Shifts, best_split, distinct, split_with

PRICES = Prices(shipped_times(), 13, 1, 8)


def every(number: int, modulus: int) -> Shifts:
    zero = np.zeros(number, dtype=np.int64)
    return distinct(zero, zero, np.arange(number), modulus)


def test_distinct_counts_each_diagonal_once() -> None:
    found = distinct(np.array([0, 1, 0, 0]), np.array([0, 0, 2, 0]), np.array([5, 5, 3, 5]), 8)
    kept = sorted(
        zip(found.source.tolist(), found.result.tolist(), found.shift.tolist(), strict=True)
    )
    assert kept == [(0, 0, 5), (0, 2, 3), (1, 0, 5)]
    nothing = np.zeros(0, dtype=np.int64)
    assert distinct(nothing, nothing, nothing, 8).shift.size == 0


def test_split_counts_rotations() -> None:
    split = split_with(every(64, 64), 7, PRICES, 6)
    assert (split.babies, split.giants, split.sums) == (7, 7, 8)


def test_babies_are_shared_by_results_and_giants_by_inputs() -> None:
    source, result, shift = (v.reshape(-1) for v in np.indices((2, 3, 16)))
    split = split_with(distinct(source, result, shift, 16), 3, PRICES, 6)
    assert (split.babies, split.giants) == (2 * 3, 3 * 3)


def test_best_is_the_cheapest_of_all() -> None:
    shifts = every(100, 128)
    best = best_split(shifts, PRICES, 6)
    assert all(best.price <= split_with(shifts, (1 << b) - 1, PRICES, 6).price for b in range(8))
    assert 10 < best.babies + best.giants < 25


def test_shifts_with_few_low_bits_take_them_as_either_step() -> None:
    zero = np.zeros(64, dtype=np.int64)
    shift = (np.arange(32)[:, None] * 64 + np.array([0, 1])).reshape(-1)
    best = best_split(Shifts(zero, zero, shift, 2048), PRICES, 6)
    assert best.babies + best.giants <= 16


def test_demanded_baby_steps() -> None:
    assert best_split(every(64, 64), PRICES, 6, baby=16).babies == 15
    assert best_split(every(64, 64), PRICES, 6, baby=1).babies == 0
    assert best_split(every(64, 64), PRICES, 6, baby=4096).giants == 0


def test_client_sends_baby_steps_where_that_is_cheaper() -> None:
    best = best_split(every(64, 64), PRICES, 6, sent=True)
    assert best.sent
    assert best.price < best_split(every(64, 64), PRICES, 6).price


def test_early_rescaling_is_chosen_by_price() -> None:
    shifts = every(4096, 4096)
    split = split_with(shifts, 63, PRICES, 8)
    late = 63 * PRICES("rotate", 8) + PRICES("rescale", 8)
    soon = 63 * PRICES("rotate", 7) + 64 * PRICES("rescale", 8)
    assert split.early == (soon < late)
    kept = split_with(shifts, 63, PRICES, 8, late=True)
    assert not kept.early
    assert kept.price - split.price == pytest.approx(late - min(late, soon))
    assert not best_split(shifts, PRICES, 8, late=True).early
    assert not split_with(every(4, 4), 3, PRICES, 8).early
