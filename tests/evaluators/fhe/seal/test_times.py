"""Timing operations in this very process."""

from __future__ import annotations

import pytest

pytest.importorskip("tenseal")
from evaluators.fhe.seal import times  # noqa: E402 - after the check


def test_times_of_one_ring_dimension() -> None:
    rows = times.times(11, (1, 2), 1)
    by = {(row["operation"], row["limbs"]): row["ms"] for row in rows}
    assert by["rotate", 2] > by["rotate", 1] > 0
    assert ("rescale", 1) not in by
    assert {row["log_n"] for row in rows} == {11}


def test_no_limbs_is_an_error() -> None:
    with pytest.raises((ValueError, RuntimeError)):
        times.times(11, (), 1)
