"""Levels for the weights of a pruned network: ADMM draws them there, then they are frozen in turns.

Weights nearest to a level are frozen first; the others train on and make up for it.

Source: Ye et al., Progressive DNN Compression (arXiv:1903.09769): prune first, then quantise by the
same ADMM; the order of freezing is ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from search.methods.pruning.duals import Admm
from search.methods.pruning.masks import Masked, layer_weights, nonzero_masks
from search.methods.pruning.projections import levels_of
from search.workloads.pruning.levels import best_interval, multiples, nearest_level
from spaces.pruning.plan import LayerLevels

if TYPE_CHECKING:
    from search.methods.pruning.pruner import PruningMethod, PruningTask

_ADMM_SHARE = 0.4
_FROZEN = (0.5, 0.75, 0.9)
"""Shares of the weights that are frozen before each further training; the rest follows."""


def quantise_network(task: PruningTask, epochs: float, method: PruningMethod) -> dict[str, Any]:
    """Move the weights of ``task.network`` that are not zero onto the plan's levels, in place.

    Args:
        task: network and plan.
        epochs: for all of it.
        method: trains.

    Returns:
        Facts: the residual of ADMM, and the intervals by layer.

    Raises:
        EvaluationError: training diverged.
    """
    weights, masks = layer_weights(task.network), nonzero_masks(task.network)
    admm_epochs = _ADMM_SHARE * epochs
    duals = Admm(
        weights, [levels_of(task.plan)], task.plan.schedule,
        method.steps(admm_epochs), every=_EVERY, free=masks,
    )  # fmt: skip
    half = 0.5 * task.learning_rate
    method.train(task.network, admm_epochs, half, task.ctx, duals, "levels", constant=True)
    residual = duals.residuals().primal
    grids = {entry.site: _Grid(entry, weights[entry.site]) for entry in task.plan.levels}
    rest = (epochs - admm_epochs) / len(_FROZEN)
    for share in _FROZEN:
        frozen = {site: grid.freeze(weights[site], share) for site, grid in grids.items()}
        hooks = Masked(weights, masks, frozen)
        method.train(task.network, rest, half, task.ctx, hooks, "levels")
    for site, grid in grids.items():
        grid.freeze(weights[site], 1.0)
    intervals: Mapping[str, float] = {site: round(g.interval, 6) for site, g in grids.items()}
    return {"levels_residual": round(residual, 4), "levels_interval": intervals}


_EVERY = 20


class _Grid:
    """The levels of one layer; their interval is fixed once weights are frozen to them."""

    def __init__(self, entry: LayerLevels, weight: nn.Parameter) -> None:
        self._steps = multiples(entry.levels, entry.bits, device=weight.device)
        self.interval = best_interval(weight, self._steps)

    @torch.no_grad()
    def freeze(self, weight: nn.Parameter, share: float) -> Tensor:
        """Put the ``share`` of the non-zero weights that is nearest to levels onto them.

        Returns:
            Bool mask of what is frozen.
        """
        target = nearest_level(weight, self.interval, self._steps)
        distance = torch.where(weight != 0, (weight - target).abs(), torch.inf)
        count = int((weight != 0).sum())
        kept = torch.zeros_like(distance, dtype=torch.bool).flatten()
        order = torch.sort(distance.flatten(), stable=True).indices
        kept[order[: round(share * count)]] = True
        mask = kept.view_as(weight)
        weight.copy_(torch.where(mask, target, weight))
        return mask
