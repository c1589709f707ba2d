import math

import pytest
import torch
from torch import nn

from search.api.errors import ConfigError
from search.workloads.dapa import Polynomial, authors_coefficients, relu_coefficients


def least_squares(mean: float, std: float, degree: int) -> torch.Tensor:
    """Coefficients of powers of x, by numerical integration against the normal density."""
    z = torch.linspace(-9, 9, 200_001, dtype=torch.float64)
    weight = torch.exp(-0.5 * z * z)
    x = mean + std * z
    basis = torch.stack([x**k for k in range(degree + 1)])
    gram = (basis * weight) @ basis.T
    return torch.linalg.solve(gram, (basis * weight) @ x.clamp(min=0))


@pytest.mark.parametrize("degree", [1, 2, 3, 4])
@pytest.mark.parametrize(("mean", "std"), [(0.0, 1.0), (0.7, 0.5), (-1.2, 2.0), (3.0, 0.4)])
def test_the_closed_form_is_the_least_squares_fit(degree: int, mean: float, std: float) -> None:
    polynomial = Polynomial(degree, 1)
    polynomial.fit(torch.tensor([mean]), torch.tensor([std]))
    found = polynomial.coefficients()[:, 0]
    torch.testing.assert_close(found, least_squares(mean, std, degree), rtol=2e-4, atol=2e-4)


def test_the_degree_two_fit_of_the_standard_normal() -> None:
    # AutoReP, distribution-aware polynomial: (0.1995, 0.5, 0.1995), error 0.0113; degree 1: 0.0908.
    two = Polynomial(2, 1)
    expected = torch.tensor([0.1995, 0.5, 0.1995], dtype=torch.float64)
    torch.testing.assert_close(two.coefficients()[:, 0], expected, atol=1e-4, rtol=0)
    x = torch.randn(400_000, 1, generator=torch.Generator().manual_seed(0))
    for degree, error in ((2, 0.0113), (1, 0.0908)):
        with torch.no_grad():
            found = float(((Polynomial(degree, 1)(x) - x.clamp(min=0)) ** 2).mean())
        assert found == pytest.approx(error, rel=0.02)


def test_forward_is_the_polynomial_of_its_coefficients_channel_by_channel() -> None:
    torch.manual_seed(0)
    polynomial = Polynomial(3, 2)
    polynomial.fit(torch.tensor([0.5, -1.0]), torch.tensor([0.3, 2.0]))
    x = torch.randn(5, 2, 4, 4)
    c = polynomial.coefficients().float()
    want = sum(c[k].view(1, 2, 1, 1) * x**k for k in range(4))
    torch.testing.assert_close(polynomial(x), want, atol=2e-4, rtol=1e-4)
    polynomial.set_coefficients(c)
    torch.testing.assert_close(polynomial(x), want, atol=2e-4, rtol=1e-4)


def test_a_constant_channel_gives_finite_coefficients() -> None:
    polynomial = Polynomial(4, 1)
    polynomial.fit(torch.tensor([2.0]), torch.tensor([0.0]))
    out = polynomial(torch.full((1, 1, 2, 2), 2.0)).detach()
    torch.testing.assert_close(out, torch.full((1, 1, 2, 2), 2.0), atol=1e-3, rtol=0)
    assert math.isfinite(float(polynomial(torch.full((1, 1, 1, 1), 2.01)).detach()))


def test_gradients_reach_every_coefficient() -> None:
    polynomial = Polynomial(4, 3)
    nn.Sequential(polynomial)(torch.randn(2, 3, 4, 4)).pow(2).sum().backward()
    assert polynomial.a.grad is not None
    assert bool((polynomial.a.grad != 0).all())


def test_the_authors_form_divides_and_scales() -> None:
    mean, variance = torch.tensor([0.0]), torch.tensor([1.0])
    c = authors_coefficients(mean, variance, scale_x2=1.0)[:, 0]
    torch.testing.assert_close(c, torch.tensor([0.1995 / 5, 0.5, 0.01995]), atol=1e-4, rtol=0)


@pytest.mark.parametrize("degree", [0, 5])
def test_other_degrees_are_refused(degree: int) -> None:
    with pytest.raises(ConfigError, match="degree from 1 to 4"):
        relu_coefficients(torch.zeros(1), torch.ones(1), degree)
    with pytest.raises(ConfigError, match="degree from 1 to 4"):
        Polynomial(degree, 1)
