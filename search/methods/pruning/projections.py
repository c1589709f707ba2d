"""What ADMM projects onto: the nearest tensor that has a structure or levels.

A projection maps a weight to the nearest one (in the Euclidean norm, exactly or by the usual
heuristic) of a constraint set. ADMM needs nothing else of a constraint, so every kind of pruning
and quantisation is one entry of :data:`PROJECTIONS`.

Source: Zhang et al. (ECCV 2018), section 3; Ye et al. (arXiv:1903.09769); block-circulant matrices:
E-RNN (HPCA 2019), the mean along each circulant diagonal.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import torch
from torch import Tensor

from search.api.errors import ConfigError
from search.workloads.pruning.levels import quantise
from search.workloads.pruning.structures import POOL, mask_of
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


def pruning_projections(plan: PruningPlan, *, pool: int = POOL) -> dict[str, Projection]:
    """Layer -> projection onto what the plan keeps of it; whole layers have none."""
    found: dict[str, list[Projection]] = {}
    for entry in plan.layers:
        if entry.kept < entry.units:
            make = PROJECTIONS[entry.structure]
            found.setdefault(entry.site, []).append(make(entry, pool=pool))
    return {site: chained(steps) for site, steps in found.items()}


def level_projections(plan: PruningPlan) -> dict[str, Projection]:
    """Layer -> projection onto its levels; layers that are not quantised have none."""
    return {entry.site: PROJECTIONS[entry.levels](entry) for entry in plan.levels}
