"""The sign function as a composition of small odd polynomials, and ReLU by it.

Each stage pushes values away from zero; a composition of total degree ``d1 * d2 * ...`` costs only
the levels and products of its stages. With it ``relu(x) = x (1 + sign(x)) / 2``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.polynomial import chebyshev

from evaluators.fhe.graph import Polynomial
from search.api.errors import ConfigError

MAX_STAGE = 63
_EXCHANGES = 60
_GRID = 20001


def sign_stages(total: int) -> tuple[int, ...]:
    """Degrees of the stages whose product is ``total``, in the order of evaluation.

    Of all factorisations into odd degrees up to 63, the one that needs the fewest levels, then the
    fewest products; its smaller degrees come first.

    Raises:
        ConfigError: ``total`` is no product of odd numbers from 3 to 63.
    """
    if total < 3 or total % 2 == 0:
        raise ConfigError(f"degree: a sign polynomial is odd, of degree 3 or more (got {total})")
    found = list(_factorisations(total, 3))
    if not found:
        raise ConfigError(
            f"degree: no stages of odd degree up to {MAX_STAGE} have this product (got {total}; "
            "try 7, 15, 27, 49, 105, 225, 405 or 6075)"
        )
    return min(found, key=lambda stages: (sum(map(_levels, stages)), sum(stages), len(stages)))


def sign_composite(degrees: Sequence[int]) -> tuple[tuple[float, ...], ...]:
    """Chebyshev coefficients of the stages of a composite sign polynomial on [-1, 1].

    Every stage is the best odd approximation of the sign, in the largest error, on the values that
    the stages before can give for ``threshold <= |x| <= 1``. All but the last are divided by their
    maximum, so that they map [-1, 1] into [-1, 1]; the last exceeds 1 by its error alone. The
    threshold is chosen such that the error beyond it equals the threshold: ReLU by this sign is
    then wrong by at most half the threshold (times the range) on both sides.

    Args:
        degrees: odd degrees of the stages, 3 to 63 each, first stage first.

    Returns:
        Coefficients ``[degree + 1]`` of each stage; those of even index are zero.

    Raises:
        ConfigError: no degrees, or one that is even or out of range.

    Source: the composition and its use for comparison, Cheon et al., Efficient homomorphic
    comparison methods with optimal complexity, ASIACRYPT 2020; best stages one after another, Lee
    et al., Minimax approximation of sign function by composite polynomial, IEEE TDSC 2021.
    """
    for degree in degrees:
        if degree % 2 == 0 or not 3 <= degree <= MAX_STAGE:
            raise ConfigError(f"degrees: expected odd degrees from 3 to {MAX_STAGE} (got {degree})")
    if not degrees:
        raise ConfigError("degrees: expected at least one stage (got none)")
    return _composite(tuple(degrees))[0]


def sign_threshold(degrees: Sequence[int]) -> float:
    """The threshold of :func:`sign_composite`: beyond it the sign is wrong by at most as much."""
    sign_composite(degrees)
    return _composite(tuple(degrees))[1]


def sign_relu(total: int) -> Polynomial:
    """ReLU on [-1, 1] by a composite sign of that total degree: ``x (1 + p(x)) / 2``.

    Raises:
        ConfigError: as :func:`sign_stages`.
    """
    first, *rest = sign_composite(sign_stages(total))
    return Polynomial(first, function="relu", composite=tuple(rest), gate=True)


@lru_cache(maxsize=64)
def _composite(degrees: tuple[int, ...]) -> tuple[tuple[tuple[float, ...], ...], float]:
    low, high = 1e-9, 0.9
    for _ in range(40):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if _chain(degrees, middle)[1] > middle else (low, middle)
        if high / low < 1.0 + 1e-6:
            break
    return _chain(degrees, high)[0], high


def _chain(
    degrees: tuple[int, ...], threshold: float
) -> tuple[tuple[tuple[float, ...], ...], float]:
    """The stages for one threshold, and the error of the last one."""
    stages, start, error = [], threshold, 1.0
    for number, degree in enumerate(degrees):
        series, error = best_odd_sign(degree, start)
        if number + 1 < len(degrees):
            series = series / (1.0 + error)
            start = (1.0 - error) / (1.0 + error)
        stages.append(tuple(float(c) for c in series))
    return tuple(stages), error


def best_odd_sign(degree: int, start: float) -> tuple[np.ndarray, float]:
    """The odd polynomial nearest to 1 on ``[start, 1]``, and its largest distance from it.

    Found by Remez' exchange: the odd Chebyshev polynomials up to ``degree`` are a Chebyshev system
    on the interval, so that the best one alternates on one point more than it has coefficients.

    Args:
        degree: odd.
        start: in (0, 1).

    Returns:
        Chebyshev coefficients ``[degree + 1]`` and the largest error.
    """
    odd = np.arange(1, degree + 1, 2)
    points = len(odd) + 1
    # Denser near the start, where the polynomial bends most.
    grid = np.geomspace(start, 1.0, _GRID // 2)
    grid = np.union1d(grid, np.linspace(start, 1.0, _GRID // 2))
    basis = chebyshev.chebvander(grid, degree)[:, odd]
    at = np.unique(np.round(_cosine_grid(points) * (len(grid) - 1)).astype(int))
    signs = (-1.0) ** np.arange(points)
    solution = np.zeros(points)
    for _ in range(_EXCHANGES):
        matrix = np.concatenate([basis[at], signs[:, None]], axis=1)
        solution = np.linalg.solve(matrix, np.ones(points))
        wrong = basis @ solution[:-1] - 1.0
        new = _alternation(wrong, points)
        if new is None or np.array_equal(new, at):
            break
        at = new
    series = np.zeros(degree + 1)
    series[odd] = solution[:-1]
    return series, float(np.abs(basis @ solution[:-1] - 1.0).max())


def _cosine_grid(points: int) -> np.ndarray:
    return np.asarray(0.5 - 0.5 * np.cos(np.pi * np.arange(points) / (points - 1)))


def _alternation(wrong: np.ndarray, points: int) -> np.ndarray | None:
    """Indices of ``points`` extremes of alternating sign; None if there are fewer.

    If there are more, the smaller ends are dropped.
    """
    positive = wrong >= 0
    edges = np.flatnonzero(positive[1:] != positive[:-1]) + 1
    runs = np.split(np.arange(len(wrong)), edges)
    peaks = [int(run[np.argmax(np.abs(wrong[run]))]) for run in runs]
    while len(peaks) > points:
        drop = 0 if abs(wrong[peaks[0]]) <= abs(wrong[peaks[-1]]) else -1
        peaks.pop(drop)
    return np.asarray(peaks) if len(peaks) == points else None


def _levels(degree: int) -> int:
    return math.ceil(math.log2(degree + 1))


def _factorisations(total: int, least: int) -> list[tuple[int, ...]]:
    found: list[tuple[int, ...]] = [(total,)] if least <= total <= MAX_STAGE else []
    for first in range(least, min(MAX_STAGE, math.isqrt(total)) + 1, 2):
        if total % first == 0:
            found += [(first, *rest) for rest in _factorisations(total // first, first)]
    return found
