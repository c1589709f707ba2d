"""Prices are the times of the table."""

from __future__ import annotations

import pytest

from evaluators.fhe.costs import shipped_times
from evaluators.fhe.prices import Prices


@pytest.mark.parametrize("operation", ["rotate", "encrypt"])
def test_prices_are_times_of_the_ring(operation) -> None:
    times = shipped_times()
    prices = Prices(times, 14, 1, 6)
    for limbs in (1, 6):
        assert prices(operation, limbs) == float(times.milliseconds(operation, 14, limbs, 1))
    with pytest.raises(IndexError):
        prices(operation, 7)
