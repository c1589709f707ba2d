import numpy as np
import pytest
from numpy.polynomial import chebyshev

from evaluators.fhe.polynomial_split import (
    Split,
    divide,
    expense,
    levels_of,
    parity_of,
    splits,
)


@pytest.mark.parametrize(
    ("degree", "levels"), [(1, 1), (2, 2), (3, 2), (4, 3), (7, 3), (8, 4), (127, 7), (128, 8)]
)
def test_levels(degree: int, levels: int) -> None:
    assert levels_of(degree) == levels


def test_parity_looks_beyond_the_linear_part() -> None:
    assert parity_of((1, 1, 1, 0, 1)) == "even"
    assert parity_of((1, 1, 0, 1, 0)) == "odd"
    assert parity_of((0, 0, 1, 1)) == "mixed"


@pytest.mark.parametrize(("degree", "m"), [(7, 4), (7, 2), (8, 8), (15, 4), (5, 4)])
def test_division_gives_back_the_series(degree: int, m: int) -> None:
    series = list(np.random.default_rng(0).normal(size=degree + 1))
    quotient, rest = divide(series, m)
    assert len(rest) == m
    again = chebyshev.chebadd(chebyshev.chebmul(quotient, [0.0] * m + [1.0]), rest)
    assert np.allclose(again, series, atol=1e-12)


def test_division_keeps_zeros() -> None:
    quotient, rest = divide([0.0, 1.0] * 8, 4)
    assert not any(quotient[::2])
    assert not any(rest[::2])


@pytest.mark.parametrize("degree", [1, 2, 3, 6, 15, 31])
def test_there_is_always_a_split_of_least_depth(degree: int) -> None:
    found = list(splits([0.0, *([1.0] * degree)]))
    assert found
    assert {s.levels for s in found} == {levels_of(degree)}
    assert {s.degree for s in found} == {degree}


def test_trailing_zeros_are_cut() -> None:
    assert next(iter(splits((0.0, 1.0, 1.0, 0.0)))).series == (0.0, 1.0, 1.0)


def test_small_parts_are_summed_and_large_ones_divided() -> None:
    split = Split((0.0, *([1.0] * 15)), baby=4, giant=8)
    assert split.divisor(15, "mixed", 4) == 8
    assert split.divisor(3, "mixed", 3) == 0
    assert split.divisor(3, "mixed", 2) == 2  # two levels are too few for a product with T_3


def test_relinearisation_is_the_dear_one() -> None:
    assert expense("relinearise", 5) > 5 * expense("multiply", 5) > 5 * expense("square", 5)
    assert expense("relinearise", 10) > 3 * expense("relinearise", 5)
    assert expense("mod_switch", 5) < expense("multiply_scalar", 5)
