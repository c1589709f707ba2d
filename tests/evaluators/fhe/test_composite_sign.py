import numpy as np
import pytest
from numpy.polynomial import chebyshev

from evaluators.fhe.composite_sign import (
    best_odd_sign,
    sign_composite,
    sign_relu,
    sign_stages,
    sign_threshold,
)
from search.api.errors import ConfigError


def through(stages: tuple, x: np.ndarray) -> list[np.ndarray]:
    values = [x]
    for stage in stages:
        values.append(chebyshev.chebval(values[-1], stage))
    return values


@pytest.mark.parametrize("degrees", [(7,), (3, 5), (7, 7), (15, 15), (15, 15, 27)])
def test_sign_holds_beyond_its_threshold(degrees: tuple[int, ...]) -> None:
    stages, threshold = sign_composite(degrees), sign_threshold(degrees)
    assert [len(s) - 1 for s in stages] == list(degrees)
    assert all(c == 0 for s in stages for c in s[::2])
    x = np.linspace(threshold, 1, 5001)
    values = through(stages, x)
    assert np.abs(values[-1] - 1).max() <= threshold * 1.01
    assert np.allclose(through(stages, -x)[-1], -values[-1])
    inside = through(stages, np.linspace(-1, 1, 5001))[:-1]
    assert max(np.abs(v).max() for v in inside) <= 1 + 1e-5


def test_more_degree_is_a_better_sign() -> None:
    found = [sign_threshold(d) for d in ((3,), (7,), (7, 7), (7, 7, 7), (15, 15, 27))]
    assert found == sorted(found, reverse=True)


def test_best_odd_polynomial_alternates() -> None:
    series, error = best_odd_sign(7, 0.2)
    x = np.linspace(0.2, 1, 20001)
    wrong = chebyshev.chebval(x, series) - 1
    near = np.abs(np.abs(wrong) - error) < 1e-3 * error
    runs = np.sign(wrong[near])
    assert 1 + np.count_nonzero(np.diff(runs)) == 5  # one more than the four coefficients


def test_first_degree_has_its_closed_form() -> None:
    # The best multiple of x for 1 on [a, 1] is 2 / (1 + a), wrong by (1 - a) / (1 + a).
    series, error = best_odd_sign(1, 0.5)
    assert series == pytest.approx([0, 4 / 3], abs=1e-4)
    assert error == pytest.approx(1 / 3, abs=1e-4)


def test_relu_is_wrong_by_half_the_threshold() -> None:
    relu = sign_relu(225)
    assert relu.gate
    assert relu.function == "relu"
    x = np.linspace(-1, 1, 20001)
    sign = through((relu.coefficients, *relu.composite), x)[-1]
    wrong = np.abs(x * (1 + sign) / 2 - np.maximum(x, 0)).max()
    assert wrong <= 0.501 * sign_threshold((15, 15))


def test_stages_take_the_fewest_levels() -> None:
    assert sign_stages(7) == (7,)
    assert sign_stages(27) == (27,)  # 5 levels; (3, 9) and (3, 3, 3) need 6
    assert sign_stages(49) == (7, 7)
    assert sign_stages(9) == (3, 3)  # 4 levels as (9,), with fewer products
    assert sign_stages(6075) == (15, 15, 27)


@pytest.mark.parametrize("total", [0, 1, 2, 8, 67, 3 * 67])
def test_impossible_totals_are_refused(total: int) -> None:
    with pytest.raises(ConfigError, match="degree: "):
        sign_stages(total)


@pytest.mark.parametrize("degrees", [(), (4,), (7, 1), (65,)])
def test_impossible_stages_are_refused(degrees: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError, match="degrees: expected"):
        sign_composite(degrees)
