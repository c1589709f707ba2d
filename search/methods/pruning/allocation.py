"""How a number of weights is shared out among layers by what the trained weights say.

Every rule gives each unit of each layer a score that falls with its rank; all units above one
threshold stay. A threshold so stands for a share of every layer, and the number of weights that
are to stay stands for a threshold.

Source: LAMP: Lee et al., Layer-Adaptive Sparsity for the Magnitude-Based Pruning (ICLR 2021),
section 2; Erdos-Renyi-kernel: Evci et al., Rigging the Lottery (ICML 2020), section 3.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import torch
from torch import Tensor

from spaces.pruning.layout import Piece
from spaces.pruning.space import PruningRatio

_STEPS = 60  # halvings of the threshold


def energies(weight: Tensor, piece: Piece) -> Tensor:
    """Squares that each unit would keep, the largest first, ``[units]``.

    Args:
        weight: ``[O, I, ...]``.
        piece: in which structure it is pruned.
    """
    squares = weight.detach().double().square()
    matrix = squares.flatten(1)
    if piece.structure == "filter":
        found = matrix.sum(1)
    elif piece.structure == "column":
        found = matrix.sum(0)
    elif piece.structure == "channel":
        found = squares.transpose(0, 1).flatten(1).sum(1)
    elif piece.structure == "pattern":  # each kernel keeps its own best positions
        return squares.flatten(2).reshape(-1, piece.units).sort(descending=True).values.sum(0)
    elif piece.structure == "nm":
        rows = squares.reshape(*squares.shape[:2], -1).transpose(1, 2)
        return rows.reshape(-1, piece.units).sort(descending=True).values.sum(0)
    else:
        found = squares.flatten()
    return found.sort(descending=True).values


def _lamp(weight: Tensor, piece: Piece) -> Tensor:
    """What a unit adds to those that are larger, as a share of them all."""
    found = energies(weight, piece)
    return found / found.cumsum(0).clamp_min(1e-300)


def _magnitude(weight: Tensor, piece: Piece) -> Tensor:
    """Mean square of a unit's weights: one threshold on magnitude for the whole network."""
    return energies(weight, piece) * (piece.units / weight.numel())


def _erdos_renyi(weight: Tensor, piece: Piece) -> Tensor:
    """Share kept in proportion to the sum of the weight's sides over their product."""
    density = sum(weight.shape) / weight.numel()
    ranks = torch.arange(1, piece.units + 1, dtype=torch.float64, device=weight.device)
    return density * piece.units / ranks


RULES: Mapping[str, Callable[[Tensor, Piece], Tensor]] = MappingProxyType(
    {"lamp": _lamp, "magnitude": _magnitude, "erdos_renyi": _erdos_renyi}
)
"""Rule -> scores ``[units]`` of a layer's units, falling."""


class Allocation:
    """Shares of the entries of ``keep`` by one rule, for any number of weights that stay.

    Args:
        space: of the entries; of alternative structures the first counts.
        weights: layer -> trained weight.
        rule: one of :data:`RULES`.
    """

    def __init__(self, space: PruningRatio, weights: Mapping[str, Tensor], rule: str) -> None:
        self._space = space
        self._scores = [
            (piece.slot, RULES[rule](weights[pruned.layer.name], piece))
            for pruned in space.layout.layers
            for piece in pruned.ways[0]
            if piece.slot is not None
        ]

    def shares(self, allowed: int) -> tuple[float, ...]:
        """The shares of the lowest threshold at which no more than ``allowed`` weights stay.

        Args:
            allowed: weights that may stay. Where even the smallest shares keep more, those.
        """
        tops = [float(scores.log2().nan_to_num(neginf=-1e3).max()) for _, scores in self._scores]
        low, high = -200.0, max(tops, default=0.0) + 1.0
        for _ in range(_STEPS):
            middle = (low + high) / 2
            if self._space.kept_weights(self._above(middle)) <= allowed:
                high = middle
            else:
                low = middle
        return self._above(high)

    def _above(self, threshold: float) -> tuple[float, ...]:
        """Entry -> share of units whose score is 2^threshold or more; a mean of its layers."""
        low = self._space.config.low
        found: list[list[float]] = [[] for _ in self._space.layout.slots]
        for slot, scores in self._scores:
            found[slot].append(float((scores >= 2.0**threshold).double().mean()))
        return tuple(min(1.0, max(low, sum(own) / len(own))) for own in found)
