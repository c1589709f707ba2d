"""Masks of dropped weights: taken from a network, kept while it trains, tightened step by step."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from search.methods.pruning.curvature import Curvature
from search.methods.pruning.projections import ConstraintSet
from search.workloads.nested import shared_weights

Masks = dict[str, Tensor]
"""Layer -> bool mask of its weight, true where a weight stays."""


def layer_weights(network: nn.Module) -> dict[str, nn.Parameter]:
    """Layer -> weight of every convolution and linear layer, in execution order."""
    return {n.removesuffix(".weight"): w for n, w in shared_weights(network).items()}


@torch.no_grad()
def nonzero_masks(network: nn.Module) -> Masks:
    """What is not zero in every layer that has zeros."""
    masks = {site: weight != 0 for site, weight in layer_weights(network).items()}
    return {site: mask for site, mask in masks.items() if not bool(mask.all())}


@torch.no_grad()
def harden(
    network: nn.Module, structures: ConstraintSet, curvature: Curvature | None = None
) -> Masks:
    """Project the weights in place, and give the masks of what is left.

    Args:
        network: changed.
        structures: of the layers that are pruned; others stay whole.
        curvature: gives the norm; None: the Euclidean one.
    """
    return _hardened(layer_weights(network), structures, curvature)


def _hardened(
    weights: Mapping[str, nn.Parameter], structures: ConstraintSet, curvature: Curvature | None
) -> Masks:
    masks = {}
    scores = None if curvature is None else curvature.scores(weights)
    for site, kept in structures.project(weights, scores).items():
        masks[site] = kept != 0
        weights[site].copy_(kept)
    return masks


class Masked:
    """Hooks of a training that keep dropped weights at zero.

    Args:
        weights: layer -> weight.
        masks: layer -> what stays.
        frozen: layer -> bool mask of weights that stay as they are; None: all kept ones train.
    """

    def __init__(
        self,
        weights: Mapping[str, nn.Parameter],
        masks: Mapping[str, Tensor],
        frozen: Mapping[str, Tensor] | None = None,
    ) -> None:
        self._weights, self._masks = dict(weights), dict(masks)
        self._frozen = {
            site: (mask, self._weights[site].detach().clone())
            for site, mask in (frozen or {}).items()
        }

    def gradients(self, step: int) -> None:
        """Nothing: the masks are applied to the weights."""

    @torch.no_grad()
    def weights(self, step: int) -> None:
        """Put dropped weights back to zero, and frozen ones back to what they were."""
        for site, mask in self._masks.items():
            self._weights[site].mul_(mask)
        for site, (mask, value) in self._frozen.items():
            self._weights[site].copy_(torch.where(mask, value, self._weights[site]))


def cubic(done: float) -> float:
    """Share of the final zeros when ``done`` of the way, from 0 to 1, is gone: 1 - (1 - done)^3.

    Source: Zhu and Gupta, To Prune, or Not to Prune (2017).
    """
    return 1 - (1 - done) ** 3


class Gradual:
    """Hooks of a training that prune step by step to ever sparser structures.

    A weight once dropped stays dropped.

    Args:
        weights: layer -> weight.
        tighten: maker of the structures for a share of the way, from 0 to 1.
        steps: of the training; the last pruning is in its last step.
        every: steps between two prunings.
        curvature: gives the norm in which units are large; None: the Euclidean one.

    Source: as :func:`cubic`.
    """

    def __init__(
        self,
        weights: Mapping[str, nn.Parameter],
        tighten: Callable[[float], ConstraintSet],
        steps: int,
        *,
        every: int,
        curvature: Curvature | None = None,
    ) -> None:
        self._weights, self._tighten = dict(weights), tighten
        self._steps, self._every = max(1, steps), every
        self._curvature = curvature
        self._masks: Masks = {}

    def gradients(self, step: int) -> None:
        """Take them in, where they tell which units are large."""
        if self._curvature is not None:
            self._curvature.see(self._weights)

    @torch.no_grad()
    def weights(self, step: int) -> None:
        """Prune when it is time; keep dropped weights at zero always."""
        for site, mask in self._masks.items():
            self._weights[site].mul_(mask)
        if (step + 1) % self._every and step + 1 < self._steps:
            return
        structures = self._tighten(cubic((step + 1) / self._steps))
        self._masks |= _hardened(self._weights, structures, self._curvature)
