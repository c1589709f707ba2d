"""Which weights of a layer stay: masks of the largest units of each structure.

A weight of shape ``[O, I, ...]`` (``[O, I]`` for a linear layer) is a matrix of ``O`` rows and
``I * k`` columns, ``k`` kernel positions. What the units of a structure are stands in
:class:`spaces.pruning.plan.LayerPruning`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType

import torch
from torch import Tensor

from search.api.errors import ConfigError

POOL = 8
"""Patterns that the kernels of a layer share, unless told otherwise."""


def units_of(structure: str, shape: tuple[int, ...], *, group: int = 4) -> int:
    """How many units a weight of ``shape`` has.

    Args:
        structure: one of :data:`spaces.pruning.plan.STRUCTURES`.
        shape: of the weight, ``(O, I, ...)``.
        group: weights in a group of ``nm``.

    Raises:
        ConfigError: an unknown structure, or ``pattern`` where a kernel has one position only.
    """
    positions = math.prod(shape[2:])
    if structure == "pattern" and positions == 1:
        raise ConfigError(
            f"structure pattern needs kernels of several positions (got a weight of shape {shape})"
        )
    counts = {
        "element": math.prod(shape), "filter": shape[0], "column": math.prod(shape[1:]),
        "channel": shape[1], "pattern": positions, "nm": group,
    }  # fmt: skip
    if structure not in counts:
        raise ConfigError(f"unknown structure {structure!r} (known: {', '.join(counts)})")
    return counts[structure]


def mask_of(weight: Tensor, structure: str, kept: int, units: int, *, pool: int = POOL) -> Tensor:
    """Bool mask of ``weight``'s shape that keeps its ``kept`` largest units.

    ``element`` keeps just ``kept`` weights; the others keep whole units, by L2 norm.

    Args:
        weight: ``[O, I, ...]``.
        structure: one of :data:`spaces.pruning.plan.STRUCTURES`.
        kept: units that stay, from 1 to ``units``.
        units: units there are.
        pool: patterns that the kernels may choose from (``pattern``).

    Raises:
        ConfigError: ``units`` is not what the weight has, or ``kept`` is not within it.
    """
    found = units_of(structure, tuple(weight.shape), group=units)
    if found != units or not 1 <= kept <= units:
        raise ConfigError(
            f"a weight of shape {tuple(weight.shape)} has {found} units of structure {structure} "
            f"(got kept={kept} of {units})"
        )
    if kept == units:
        return torch.ones_like(weight, dtype=torch.bool)
    return _MASKS[structure](weight.detach(), kept, units, pool)


def largest(scores: Tensor, kept: int) -> Tensor:
    """Bool vector that is true at just ``kept`` of the largest ``scores``; ties by position."""
    order = torch.sort(scores.flatten(), descending=True, stable=True).indices
    mask = torch.zeros(scores.numel(), dtype=torch.bool, device=scores.device)
    mask[order[:kept]] = True
    return mask


def _element(weight: Tensor, kept: int, units: int, pool: int) -> Tensor:
    magnitude = weight.abs().flatten()
    # A sort takes most of the time of an ADMM update; selecting the k-th value takes a tenth.
    threshold = magnitude.kthvalue(units - kept).values
    mask = magnitude > threshold
    missing = kept - int(mask.sum())
    if missing:  # equal magnitudes at the threshold: the first ones stay
        mask[(magnitude == threshold).nonzero().flatten()[:missing]] = True
    return mask.view_as(weight)


def row_norms(weight: Tensor) -> Tensor:
    """Squared L2 norm of each filter, ``[O]``."""
    return weight.flatten(1).square().sum(1)


def _filter(weight: Tensor, kept: int, units: int, pool: int) -> Tensor:
    rows = largest(row_norms(weight), kept)
    return rows.view(-1, *[1] * (weight.dim() - 1)).expand_as(weight)


def _column(weight: Tensor, kept: int, units: int, pool: int) -> Tensor:
    columns = largest(weight.flatten(1).square().sum(0), kept)
    return columns.view(1, *weight.shape[1:]).expand_as(weight)


def _channel(weight: Tensor, kept: int, units: int, pool: int) -> Tensor:
    channels = largest(weight.transpose(0, 1).flatten(1).square().sum(1), kept)
    return channels.view(1, -1, *[1] * (weight.dim() - 2)).expand_as(weight)


def _pattern(weight: Tensor, kept: int, units: int, pool: int) -> Tensor:
    """Each kernel takes, of the ``pool`` patterns most kernels would choose, the best for it.

    Source: PCONV (Ma et al., AAAI 2020): patterns by how often kernels choose them.
    """
    kernels = weight.flatten(2).square().reshape(-1, units)
    own = torch.zeros_like(kernels, dtype=torch.bool)
    own.scatter_(1, kernels.topk(kept, dim=1).indices, True)
    patterns: Tensor
    patterns, count = torch.unique(own, dim=0, return_counts=True)
    order = torch.sort(count, descending=True, stable=True).indices
    patterns = patterns[order[:pool]]
    best = (kernels @ patterns.to(kernels.dtype).T).argmax(dim=1)
    return patterns[best].view_as(weight)


def _nm(weight: Tensor, kept: int, units: int, pool: int) -> Tensor:
    """Groups run along the input channels of one kernel position; a last one may be short."""
    outputs, inputs = weight.shape[:2]
    rows = weight.reshape(outputs, inputs, -1).transpose(1, 2).abs()  # [O, k, I]
    positions, padded = rows.shape[1], -(-inputs // units) * units
    magnitude = rows.new_full((outputs, positions, padded), -1.0)
    magnitude[..., :inputs] = rows
    groups = magnitude.view(outputs, positions, -1, units)
    mask = torch.zeros_like(groups, dtype=torch.bool)
    mask.scatter_(3, groups.topk(kept, dim=3).indices, True)
    flat = mask.view(outputs, positions, padded)[..., :inputs]
    return flat.transpose(1, 2).reshape(weight.shape)


_MASKS: Mapping[str, Callable[[Tensor, int, int, int], Tensor]] = MappingProxyType(
    {
        "element": _element,
        "filter": _filter,
        "column": _column,
        "channel": _channel,
        "pattern": _pattern,
        "nm": _nm,
    }
)
