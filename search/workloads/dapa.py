"""Polynomials that follow ReLU on the inputs a site really sees, one per channel.

The best polynomial depends on where its inputs lie: for inputs distributed as N(u, s^2) the
least-squares polynomial has a closed form in every degree. Expanded in Hermite polynomials He_k
of z = (x - u) / s, the coefficients are a_k = E[relu(x) He_k(z)] / k!, and by partial integration,
with t = u / s, phi and Phi the density and distribution function of the standard normal,

    a_0 = s (t Phi(t) + phi(t)),   a_1 = s Phi(t),   a_k = s phi(t) He_{k-2}(-t) / k!   (k >= 2).

Source: AutoReP (ICCV 2023), distribution-aware polynomial approximation, degrees 1 to 4. The
Hermite form is ours and gives the same least-squares polynomials. The authors' code departs from
the formula; see :func:`authors_coefficients`.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from search.api.errors import ConfigError

DEGREES = (1, 2, 3, 4)

# Below this standard deviation a channel is taken as constant up to noise: 1/s must stay finite.
_MIN_STD = 1e-3


def relu_coefficients(mean: Tensor, std: Tensor, degree: int) -> Tensor:
    """Least-squares fit of ReLU under N(mean, std^2), in the Hermite basis.

    Args:
        mean: ``[C]``.
        std: ``[C]``, positive.
        degree: 1 to 4.

    Returns:
        ``a_k`` of the module's docstring, ``[degree + 1, C]``.

    Raises:
        ConfigError: another degree.
    """
    _check_degree(degree)
    t = (mean / std).double()
    density = torch.exp(-0.5 * t * t) / math.sqrt(2 * math.pi)
    below = 0.5 * (1 + torch.erf(t / math.sqrt(2)))
    found = [t * below + density, below]
    hermite = _hermite(-t, degree)
    found += [density * hermite[k - 2] / math.factorial(k) for k in range(2, degree + 1)]
    return (torch.stack(found) * std.double()).to(mean.dtype)


def authors_coefficients(mean: Tensor, variance: Tensor, scale_x2: float = 0.1) -> Tensor:
    """Degree 2 as AutoReP's released code has it, ``c_0, c_1, c_2`` of x, ``[3, C]``.

    It puts the variance (at least 0.5) where the formula has the standard deviation, divides c_0 by
    5 and c_2 by 10, and multiplies the quadratic term by ``scale_x2`` (0.1 in its CIFAR scripts).
    Kept to compare with published runs; not a least-squares fit.
    """
    s = variance.clamp(min=0.5)
    density = torch.exp(-0.5 * (mean / s) ** 2) / math.sqrt(2 * math.pi)
    below = 0.5 * (1 + torch.erf(mean / s / math.sqrt(2)))
    c0 = mean * mean * density / (2 * s) + s * density / 2
    return torch.stack([c0 / 5, below - mean * density / s, scale_x2 * density / (2 * s) / 10])


class Polynomial(nn.Module):
    """A trainable polynomial of degree 1 to 4 per channel, in the Hermite basis of its inputs.

    The basis keeps the gradients of all coefficients of one size, whatever the inputs' scale. It
    starts as the fit for N(0, 1) until :meth:`fit` is told what the inputs are.

    Args:
        degree: 1 to 4.
        channels: length of axis 1.

    Raises:
        ConfigError: another degree, or no channel.
    """

    def __init__(self, degree: int, channels: int) -> None:
        super().__init__()
        _check_degree(degree)
        if channels < 1:
            raise ConfigError(f"polynomial: expected at least one channel (got {channels})")
        self.degree = degree
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("std", torch.ones(channels))
        basis = _monomials_of_hermite(degree).float()
        self.register_buffer("basis", basis, persistent=False)
        start = relu_coefficients(torch.zeros(channels), torch.ones(channels), degree)
        self.a = nn.Parameter(start)

    def fit(self, mean: Tensor, std: Tensor) -> None:
        """Become the least-squares fit of ReLU for inputs N(mean, std^2); both ``[C]``."""
        own = self.get_buffer("mean")
        mean, std = mean.to(own), std.to(own).clamp(min=_MIN_STD)
        own.copy_(mean)
        self.get_buffer("std").copy_(std)
        with torch.no_grad():
            self.a.copy_(relu_coefficients(mean, std, self.degree))

    def basis_of(self, x: Tensor) -> Tensor:
        """``He_k(z)`` of values ``[C, m]``, double: ``[C, degree + 1, m]``."""
        mean, std = self.get_buffer("mean"), self.get_buffer("std")
        z = (x.double() - mean.double().unsqueeze(1)) / std.double().unsqueeze(1)
        return torch.stack(_hermite(z, self.degree), 1)

    def set_coefficients(self, c: Tensor) -> None:
        """Become ``sum_k c_k x^k``; ``c`` is ``[degree + 1, C]``. The basis becomes He_k(x)."""
        self.get_buffer("mean").zero_()
        self.get_buffer("std").fill_(1.0)
        basis = _monomials_of_hermite(self.degree).to(c)
        with torch.no_grad():
            self.a.copy_(torch.linalg.solve(basis.T, c))

    def coefficients(self) -> Tensor:
        """``c_k`` of ``sum_k c_k x^k``, ``[degree + 1, C]``, detached, in double precision."""
        mean, std = self.get_buffer("mean").double(), self.get_buffer("std").double()
        basis = _monomials_of_hermite(self.degree).to(mean.device)
        in_z = basis.T @ self.a.detach().double()  # [degree + 1, C], powers of z = (x - u) / s
        found = torch.zeros_like(in_z)
        for power in range(self.degree + 1):  # expand in_z[power] * ((x - u) / s)^power
            for k in range(power + 1):
                found[k] += in_z[power] * math.comb(power, k) * (-mean) ** (power - k) / std**power
        return found

    def forward(self, x: Tensor) -> Tensor:
        """``x`` of shape ``[n, C, ...]`` through its channel's polynomial, same shape."""
        view = (-1,) + (1,) * (x.dim() - 2)
        scale = self.get_buffer("std").reciprocal()
        shift = (-self.get_buffer("mean") * scale).view(view)
        # Coefficients of powers are a small product of [k, k] and [k, C]; then one fused pass over
        # the map for z and one for each step of Horner's rule.
        c = [row.view(view) for row in self.get_buffer("basis").T @ self.a]
        z = torch.addcmul(shift, x, scale.view(view))
        out: Tensor = c[self.degree]
        for k in range(self.degree - 1, -1, -1):
            out = torch.addcmul(c[k], out, z)
        return out

    def extra_repr(self) -> str:
        """Degree and channels, for printed networks."""
        return f"degree={self.degree}, channels={self.a.shape[1]}"


def _check_degree(degree: int) -> None:
    if degree not in DEGREES:
        raise ConfigError(f"polynomial: expected a degree from 1 to 4 (got {degree!r})")


def _hermite(x: Tensor, degree: int) -> list[Tensor]:
    """He_0(x) ... He_{degree}(x)."""
    found = [torch.ones_like(x), x]
    for k in range(1, degree):
        found.append(x * found[k] - k * found[k - 1])
    return found


def _monomials_of_hermite(degree: int) -> Tensor:
    """Row k: coefficients of He_k by powers, ``[degree + 1, degree + 1]``, double."""
    rows = [
        [1.0, 0.0, 0.0, 0.0, 0.0],
        [0.0, 1.0, 0.0, 0.0, 0.0],
        [-1.0, 0.0, 1.0, 0.0, 0.0],
        [0.0, -3.0, 0.0, 1.0, 0.0],
        [3.0, 0.0, -6.0, 0.0, 1.0],
    ]
    return torch.tensor(rows, dtype=torch.float64)[: degree + 1, : degree + 1]
