import math

import numpy as np
import pytest

from evaluators.fhe.coverage import STEEPEST, lost_bits, steepness
from evaluators.fhe.graph import Polynomial

LINE = Polynomial((0.0, 1.0))
CUBIC = Polynomial((0.0, 0.0, 0.0, 1.0))


def test_a_line_is_as_steep_as_itself_and_series_explode() -> None:
    assert steepness(LINE, 5.0) == pytest.approx(1.0)
    assert steepness(CUBIC, 1.0) == pytest.approx(1.0)
    assert steepness(CUBIC, 2.0) == pytest.approx((4 * 8 - 6) / 2)
    assert steepness(CUBIC, 2.0) > STEEPEST
    assert steepness(CUBIC, 1e200) == math.inf
    assert steepness(Polynomial((0.0, 0.0)), 2.0) == math.inf


@pytest.mark.parametrize(("degree", "doubled"), [(1, 1), (2, 2), (3, 2), (7, 4), (8, 8), (15, 8)])
def test_the_largest_doubled_term_amplifies_noise(degree: int, doubled: int) -> None:
    series = Polynomial((0.1,) * (degree + 1))
    found = np.polynomial.chebyshev.Chebyshev.basis(doubled)(3.0)
    assert lost_bits(series, 3.0) == pytest.approx(np.log2(found), abs=0.1)
    assert lost_bits(series, 1.0) == lost_bits(series, 0.2) == 0.0
