"""Bits and agreement of encrypted answers."""

import numpy as np
import pytest

from evaluators.fhe.precision import MOST_BITS, bits, compare


def test_bits_are_of_absolute_errors() -> None:
    exact = np.array([[0.0, 1.0], [2.0, 1.0]])
    found = compare(exact + np.array([[0.0, 2**-3], [0.0, -(2**-4)]]), exact)
    assert found.worst == 3.0
    assert found.mean == pytest.approx(-np.log2((2**-3 + 2**-4) / 4))
    assert (found.agreement, found.inputs) == (1.0, 2)


def test_agreement_is_of_the_largest_output() -> None:
    exact = np.array([[0.0, 1.0], [2.0, 1.0]])
    assert compare(exact[:, ::-1], exact).agreement == 0.0
    assert compare(exact * [[1], [-1]], exact).agreement == 0.5


def test_no_error_and_an_endless_one_have_bits() -> None:
    assert bits(0.0) == MOST_BITS
    assert bits(float("nan")) == bits(float("inf")) == -1024.0
    assert bits(2.0**10) == -10.0
