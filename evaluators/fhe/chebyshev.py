"""Activations as Chebyshev series: what a ciphertext can be put through instead of the function.

A series is a tuple of coefficients ``c`` and means ``sum_k c[k] T_k(t)`` for ``t`` in [-1, 1],
where ``t = (2 x - low - high) / (high - low)`` for a function of ``x`` on ``[low, high]``. The
factor and the offset belong to the linear map before.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.polynomial import chebyshev

from search.api.errors import ConfigError

Function = Callable[[np.ndarray], np.ndarray]

MAX_DEGREE = 1023
_ZERO = 1e-13  # relative: rounding of the transform, far below what any plaintext can hold


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * x)))


def _gelu(x: np.ndarray) -> np.ndarray:
    from scipy.special import erf

    return np.asarray(0.5 * x * (1.0 + erf(x / math.sqrt(2.0))))


FUNCTIONS: Mapping[str, Function] = MappingProxyType(
    {
        "relu": lambda x: np.maximum(x, 0.0),
        "relu6": lambda x: np.clip(x, 0.0, 6.0),
        "leaky_relu": lambda x: np.where(x > 0, x, 0.01 * x),
        "elu": lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0.0))),
        "silu": lambda x: x * _sigmoid(x),
        "gelu": _gelu,
        "tanh": np.tanh,
        "sigmoid": _sigmoid,
        "softplus": lambda x: np.logaddexp(0.0, x),
        "hardswish": lambda x: x * np.clip(x + 3.0, 0.0, 6.0) / 6.0,
        "hardtanh": lambda x: np.clip(x, -1.0, 1.0),
        "mish": lambda x: x * np.tanh(np.logaddexp(0.0, x)),
        "sign": np.sign,
    }
)
"""Functions by name, with PyTorch's default parameters."""


@dataclass(frozen=True)
class FitError:
    """Distance between a series and its function on the interval, in the function's units.

    Args:
        largest: of the absolute differences.
        mean: of the absolute differences, over the interval (equally weighted).
    """

    largest: float
    mean: float


def fit(function: str | Function, degree: int, interval: tuple[float, float]) -> tuple[float, ...]:
    """The truncated Chebyshev series of ``function`` on ``interval``.

    It is the least-squares polynomial under the weight ``1 / sqrt(1 - t^2)``, within a small factor
    of the best one in the largest error. Coefficients that a symmetry of the function makes zero
    are exactly zero, so that the plan leaves out their products.

    Args:
        function: a name of :data:`FUNCTIONS`, or any function of float64 arrays.
        degree: of the polynomial, 1 to 1023.
        interval: ``(low, high)`` in the units of the function's argument.

    Returns:
        ``[degree + 1]`` coefficients.

    Raises:
        ConfigError: unknown name, degree or interval out of range, or a function that is not
            finite somewhere on the interval.

    Source: Trefethen, Approximation Theory and Approximation Practice, 2013, chapters 3 and 4.
    """
    call = named(function)
    if isinstance(degree, bool) or not 1 <= degree <= MAX_DEGREE:
        raise ConfigError(f"degree: expected 1 to {MAX_DEGREE} (got {degree!r})")
    _check_interval(interval)
    nodes = max(4096, 16 * (degree + 1))
    angles = (np.arange(nodes) + 0.5) * (math.pi / nodes)
    # From both ends: the grid is symmetric to the last bit, and so are functions of it.
    half = np.cos(angles[: nodes // 2])
    t = np.concatenate([half, -half[::-1]])
    values = _finite(call, _to_x(t, interval))
    # Cosines of whole multiples of the angles, exact by reducing the multiple modulo a full turn.
    k = np.arange(degree + 1)
    turns = (k[:, None] * (2 * np.arange(nodes) + 1)[None, :]) % (4 * nodes)
    sums = np.cos(turns * (math.pi / (2 * nodes))) @ values * (2.0 / nodes)
    sums[0] *= 0.5
    sums[np.abs(sums) < _ZERO * np.abs(sums).max(initial=0.0)] = 0.0
    return tuple(float(c) for c in sums)


def error_of(
    function: str | Function, coefficients: tuple[float, ...], interval: tuple[float, float]
) -> FitError:
    """How far a series is from its function, on 8193 equally spaced points of ``interval``.

    Raises:
        ConfigError: as :func:`fit`.
    """
    _check_interval(interval)
    t = np.linspace(-1.0, 1.0, 8193)
    wrong = np.abs(
        chebyshev.chebval(t, np.asarray(coefficients))
        - _finite(named(function), _to_x(t, interval))
    )
    return FitError(float(wrong.max()), float(wrong.mean()))


def named(function: str | Function) -> Function:
    """The function of that name, or the given one.

    Raises:
        ConfigError: there is no function of that name.
    """
    if not isinstance(function, str):
        return function
    if function not in FUNCTIONS:
        raise ConfigError(
            f"no polynomial stands for {function!r} (got {function!r}; expected one of "
            f"{', '.join(FUNCTIONS)})"
        )
    return FUNCTIONS[function]


def _to_x(t: np.ndarray, interval: tuple[float, float]) -> np.ndarray:
    low, high = interval
    return 0.5 * (low + high) + 0.5 * (high - low) * t


def _check_interval(interval: tuple[float, float]) -> None:
    low, high = interval
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ConfigError(f"interval: expected finite low < high (got {low!r}, {high!r})")


def _finite(call: Function, x: np.ndarray) -> np.ndarray:
    values = np.asarray(call(x), dtype=np.float64)
    if values.shape != x.shape:
        raise ConfigError(
            f"function: expected an array of the same shape (got {values.shape} for {x.shape})"
        )
    if not np.isfinite(values).all():
        where = float(x[~np.isfinite(values)][0])
        raise ConfigError(f"function: not finite at {where:g}, inside the interval")
    return values
