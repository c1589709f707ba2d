"""What ADMM projects onto: the nearest tensor that has a structure or levels.

A projection maps a weight to the nearest one (in the Euclidean norm, exactly or by the usual
heuristic) of a constraint set. ADMM needs nothing else of a constraint, so every kind of pruning
and quantisation is one entry of :data:`PROJECTIONS`.

Source: Zhang et al. (ECCV 2018), section 3; Ye et al. (arXiv:1903.09769); block-circulant matrices:
E-RNN (HPCA 2019), the mean along each circulant diagonal.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import torch
from torch import Tensor

from search.api.errors import ConfigError
from search.workloads.pruning.levels import quantise
from search.workloads.pruning.structures import POOL, largest, mask_of, row_norms
from spaces.pruning.plan import LayerLevels, LayerPruning, PruningPlan

Projection = Callable[[Tensor], Tensor]
"""A weight ``[O, I, ...]`` in, the nearest one of the constraint set out."""


def structured(entry: LayerPruning, *, pool: int = POOL) -> Projection:
    """Keep the largest units of the entry's structure, zero the rest."""

    def project(weight: Tensor) -> Tensor:
        return weight * mask_of(weight, entry.structure, entry.kept, entry.units, pool=pool)

    return project


def levelled(entry: LayerLevels) -> Projection:
    """Move every non-zero weight to the nearest level; the interval fits the weights."""

    def project(weight: Tensor) -> Tensor:
        return quantise(weight, entry.levels, entry.bits)

    return project


def circulant(block: int) -> Projection:
    """Blocks of ``block`` x ``block`` become circulant: the mean along each circulant diagonal.

    A weight is seen as its matrix ``[O, I * k]``; what does not fill a block is padded with zeros
    for the means and cut off again.

    Raises:
        ConfigError: ``block`` is below 1.
    """
    if block < 1:
        raise ConfigError(f"circulant blocks: expected a side of at least 1 (got {block})")

    def project(weight: Tensor) -> Tensor:
        matrix = weight.flatten(1)
        rows, columns = matrix.shape
        high, wide = -(-rows // block), -(-columns // block)
        padded = matrix.new_zeros(high * block, wide * block)
        padded[:rows, :columns] = matrix
        blocks = padded.view(high, block, wide, block).permute(0, 2, 1, 3)
        # Read from column r on, row r of a circulant block is its first row: so diagonals are
        # columns of what is rotated.
        rotated = torch.stack([blocks[:, :, r].roll(-r, dims=2) for r in range(block)], dim=2)
        means = rotated.mean(2)
        made = torch.stack([means.roll(r, dims=2) for r in range(block)], dim=2)
        flat = made.permute(0, 2, 1, 3).reshape(high * block, wide * block)
        return flat[:rows, :columns].reshape(weight.shape)

    return project


def chained(projections: Sequence[Projection]) -> Projection:
    """One after the other: several structures in one layer."""

    def project(weight: Tensor) -> Tensor:
        for step in projections:
            weight = step(weight)
        return weight

    return project


PROJECTIONS: Mapping[str, Callable[..., Projection]] = MappingProxyType(
    {
        **dict.fromkeys(("element", "filter", "column", "channel", "pattern", "nm"), structured),
        **dict.fromkeys(("equal", "power_of_two", "ternary", "binary"), levelled),
        "circulant": circulant,
    }
)
"""Constraint -> maker of its projection, from an entry of a plan or (circulant) from the side."""


@dataclass(frozen=True)
class Tied:
    """Layers that keep the same filters: those whose weights in all layers are largest together.

    Nearest, since what a set of filters leaves out is the sum over the layers.

    Args:
        sites: the layers.
        kept: filters that stay.
    """

    sites: tuple[str, ...]
    kept: int

    def project(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Layer -> its weight with the other filters zero."""
        norms = torch.stack([row_norms(weights[site]) for site in self.sites]).sum(0)
        rows = largest(norms, self.kept)
        return {s: weights[s] * rows.view(-1, *[1] * (weights[s].dim() - 1)) for s in self.sites}


@dataclass(frozen=True)
class ConstraintSet:
    """What the weights of a network are to be.

    Args:
        alone: layer -> projection of its weight by itself.
        ties: of layers that are projected together, before that.
    """

    alone: Mapping[str, Projection]
    ties: tuple[Tied, ...] = ()

    @property
    def sites(self) -> tuple[str, ...]:
        """The layers that are constrained."""
        tied = (site for tie in self.ties for site in tie.sites)
        return tuple(dict.fromkeys((*self.alone, *tied)))

    @torch.no_grad()
    def project(
        self, weights: Mapping[str, Tensor], scores: Mapping[str, Tensor] | None = None
    ) -> dict[str, Tensor]:
        """Layer -> the nearest weight that the set allows, of every constrained layer.

        Args:
            weights: layer -> weight.
            scores: layer -> tensor of the weight's shape by whose size units are chosen; None: the
                weights themselves. For structures only: they zero weights and leave the others.
        """
        if scores is not None:
            found = self.project(scores)
            return {site: weights[site] * (kept != 0) for site, kept in found.items()}
        found = {}
        for tie in self.ties:
            found |= tie.project(weights)
        for site, project in self.alone.items():
            found[site] = project(found[site] if site in found else weights[site])
        return found


def structures_of(plan: PruningPlan, *, pool: int = POOL) -> ConstraintSet:
    """What the plan keeps of each layer; layers that stay whole are free."""
    tied = {site: tie for tie in plan.ties for site in tie}
    alone: dict[str, list[Projection]] = {}
    ties: dict[tuple[str, ...], Tied] = {}
    for entry in plan.layers:
        if entry.kept == entry.units:
            continue
        if entry.structure == "filter" and entry.site in tied:
            ties.setdefault(tied[entry.site], Tied(tied[entry.site], entry.kept))
        else:
            make = PROJECTIONS[entry.structure]
            alone.setdefault(entry.site, []).append(make(entry, pool=pool))
    return ConstraintSet({s: chained(steps) for s, steps in alone.items()}, tuple(ties.values()))


def levels_of(plan: PruningPlan) -> ConstraintSet:
    """The levels of each layer; layers that are not quantised are free."""
    return ConstraintSet({e.site: PROJECTIONS[e.levels](e) for e in plan.levels})
