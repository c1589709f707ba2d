import numpy as np
import pytest
from numpy.polynomial import chebyshev

from evaluators.fhe.chebyshev import FUNCTIONS, error_of, fit, named
from search.api.errors import ConfigError

SMOOTH = ("silu", "gelu", "tanh", "sigmoid", "softplus", "mish")


@pytest.mark.parametrize("name", SMOOTH)
def test_smooth_functions_converge(name: str) -> None:
    errors = [error_of(name, fit(name, d, (-4, 4)), (-4, 4)).largest for d in (3, 7, 15, 31)]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 1e-4


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_every_function_agrees_with_its_torch_namesake(name: str) -> None:
    torch = pytest.importorskip("torch")
    x = np.linspace(-7, 7, 141)
    where = torch.nn.functional if hasattr(torch.nn.functional, name) else torch
    theirs = getattr(where, name)(torch.from_numpy(x)).numpy()
    assert np.allclose(named(name)(x), theirs, atol=1e-12)


def test_polynomials_are_reproduced_exactly() -> None:
    def cubic(x: np.ndarray) -> np.ndarray:
        return np.asarray(2 * x**3 - x + 0.5)

    series = fit(cubic, 5, (-3, 1))
    t = np.linspace(-1, 1, 7)
    assert np.allclose(chebyshev.chebval(t, series), cubic(-1 + 2 * t), atol=1e-12)
    assert error_of(cubic, series, (-3, 1)).largest < 1e-11


def test_symmetry_gives_exact_zeros() -> None:
    assert all(c == 0 for c in fit("tanh", 15, (-3, 3))[::2])
    assert all(c == 0 for c in fit(np.cos, 15, (-3, 3))[1::2])
    relu = fit("relu", 15, (-3, 3))  # x / 2 and an even part
    assert relu[1] == pytest.approx(1.5)
    assert all(c == 0 for c in relu[3::2])
    assert all(relu[::2])
    assert all(fit("silu", 7, (-3, 2)))


def test_error_is_close_to_the_best_possible() -> None:
    # Bernstein: the best error for |x| on [-1, 1] is about 0.2802 / degree.
    error = error_of(np.abs, fit(np.abs, 20, (-1, 1)), (-1, 1))
    assert 0.2802 / 20 < error.largest < 4 * 0.2802 / 20
    assert error.mean < error.largest / 3


def test_interval_is_in_units_of_the_argument() -> None:
    wide, narrow = fit("sigmoid", 5, (-8, 8)), fit("sigmoid", 5, (-1, 1))
    assert wide[1] > 2 * narrow[1]
    assert error_of("sigmoid", narrow, (-1, 1)).largest < 1e-5


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("softmax", 3, (-1, 1)), "no polynomial stands for 'softmax'.*expected one of relu"),
        (("relu", 0, (-1, 1)), "degree: expected 1 to 1023"),
        (("relu", 2000, (-1, 1)), "degree: expected 1 to 1023"),
        (("relu", 3, (1, 1)), "interval: expected finite low < high"),
        (("relu", 3, (0, float("inf"))), "interval: expected finite"),
        ((lambda x: np.log(np.where(x > 0, x, np.nan)), 3, (-1, 1)), "not finite at -"),
        ((lambda x: x[:3], 3, (-1, 1)), "array of the same shape"),
    ],
)
def test_bad_requests_are_refused(arguments: tuple, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        fit(*arguments)
