"""Which weights are large depends on the norm: here it is one in which training moves.

Steps of Adam are steepest in the norm ``sum_i d_i x_i^2`` with ``d_i`` the root of the mean squared
gradient of weight i, so the projection that belongs to them is the nearest point in that norm: it
keeps the units with the largest sum of ``d_i w_i^2``. The Euclidean one also keeps what is large
and hardly matters.

Source: Duchi, Hazan, Singer, Adaptive Subgradient Methods (2011), section 1, for projections in the
norm of the preconditioner; LeCun, Denker, Solla, Optimal Brain Damage (1990), for curvature as a
measure of what a weight is worth; that ADMM takes both together is ours (decision 0019).
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

_MEMORY = 0.99
"""Share of the running mean that a step leaves: it speaks of about the last hundred steps."""
_LEAST = 1e-16
"""Added to squared gradients: weights that nothing reaches are still told apart by size."""


class Curvature:
    """Running means of squared gradients, and weights as they count when units are chosen.

    Args:
        power: of the mean squared gradient by which squared weights count: 0.5 is the norm of Adam,
            1 that of the diagonal of the empirical Fisher matrix.
    """

    def __init__(self, power: float) -> None:
        self._power = power
        self._squares: dict[str, Tensor] = {}

    @torch.no_grad()
    def see(self, weights: Mapping[str, nn.Parameter]) -> None:
        """Take in the gradients that the weights hold now."""
        for site, weight in weights.items():
            if weight.grad is None:
                continue
            square = weight.grad.square()
            if site in self._squares:
                square = self._squares[site].lerp_(square, 1 - _MEMORY)
            self._squares[site] = square

    @torch.no_grad()
    def scores(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Layer -> its weights, times the root of what each counts once gradients were seen.

        The L2 norm of a unit of these is the norm of the unit.
        """
        return {site: self._scaled(site, weight) for site, weight in weights.items()}

    def _scaled(self, site: str, weight: Tensor) -> Tensor:
        if site not in self._squares:
            return weight
        return weight * (self._squares[site] + _LEAST) ** (self._power / 2)


def curvature_of(power: float) -> Curvature | None:
    """The running means for a power; None for 0, the Euclidean norm."""
    return Curvature(power) if power > 0 else None
