"""Scores to start from: noise as in the paper, or an order by magnitude.

Source: AdaPI (ICCAD 2024) starts from U(0, 1). ``lamp`` is the layer-adaptive magnitude of Lee et
al. (ICLR 2021): a weight's square over the sum of those of its layer that are no smaller.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn

from search.methods.mask_students import masked_at
from search.workloads.nested import State, shared_weights
from spaces.masking import Masking

if TYPE_CHECKING:
    from search.workloads.data.splits import Split

Start = Literal["uniform", "magnitude", "lamp"]

_BATCH = 256


@dataclass(frozen=True)
class Scores:
    """What decides which entries a member has: the higher, the sooner.

    Args:
        weights: name of a weight -> score of each entry.
        relus: free site -> score of each unit, of shape ``masking.unit_shape(site)``.
    """

    weights: State
    relus: State


def first_scores(
    start: Start,
    network: nn.Module,
    teacher: nn.Module,
    masking: Masking,
    split: Split,
    *,
    images: int,
    seed: int,
    device: str,
) -> Scores:
    """Scores in (0, 1) to start from.

    Args:
        start: ``uniform``: noise. ``magnitude``: weights by their absolute value and ReLUs by
            the mean of ``|relu(x) - replacement(x)|`` over training images, both by rank among
            all of the network. ``lamp``: as ``magnitude``, weights relative to their layer.
        network: the student, with masked activations at all free sites.
        teacher: the original network, in evaluation mode.
        masking: free sites and units.
        split: the training split.
        images: how many training images decide about ReLUs.
        seed: of noise, and of the choice of images.
        device: where.
    """
    weights = {n: w.detach() for n, w in shared_weights(network).items()}
    noise = torch.Generator().manual_seed(seed)
    if start == "uniform":
        relus = {s.name: torch.rand(masking.unit_shape(s), generator=noise) for s in masking.free}
        return Scores({n: torch.rand(w.shape, generator=noise) for n, w in weights.items()}, relus)
    order = torch.randperm(len(split), generator=noise)[:images]
    gains = relu_gains(network, teacher, masking, split.x[order], device=device)
    sizes = [lamp(w) if start == "lamp" else w.abs() for w in weights.values()]
    return Scores(
        dict(zip(weights, spread_ranks(sizes), strict=True)),
        dict(zip(gains, spread_ranks(list(gains.values())), strict=True)),
    )


def lamp(weight: Tensor) -> Tensor:
    """Square of each entry over the sum of all squares of the layer that are no smaller.

    Source: Lee et al., Layer-adaptive Sparsity for the Magnitude-based Pruning (ICLR 2021).
    """
    squares = weight.flatten().square()
    order = torch.argsort(squares, descending=True, stable=True)
    found = torch.empty_like(squares)
    found[order] = squares[order] / squares[order].cumsum(0).clamp(min=1e-30)
    return found.view(weight.shape)


def relu_gains(
    network: nn.Module, teacher: nn.Module, masking: Masking, images: Tensor, *, device: str
) -> State:
    """Free site -> mean of ``|kept(x) - replacement(x)|`` per unit, over what the teacher sees."""
    sums: State = {}

    def look(name: str) -> Any:
        masked = masked_at(network, name)

        def hook(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            gap = (masked.kept(inputs[0]) - masked.replacement(inputs[0])).abs().sum(0)
            sums[name] = sums[name] + gap if name in sums else gap

        return hook

    teacher.to(device).eval()
    network.to(device)
    hooks = [
        teacher.get_submodule(s.name).register_forward_pre_hook(look(s.name)) for s in masking.free
    ]
    try:
        with torch.no_grad():
            for part in torch.split(images, _BATCH):
                teacher(part.to(device))
    finally:
        for handle in hooks:
            handle.remove()
    return {
        s.name: _per_unit(sums[s.name], masking.unit_shape(s)) / len(images) for s in masking.free
    }


def spread_ranks(values: Sequence[Tensor]) -> list[Tensor]:
    """Values of several tensors by their common rank, spread evenly over (0, 1); shapes stay."""
    flat = torch.cat([v.detach().flatten() for v in values])
    rank = torch.empty_like(flat)
    even = (torch.arange(len(flat), device=flat.device, dtype=flat.dtype) + 0.5) / len(flat)
    rank[torch.argsort(flat, stable=True)] = even
    parts = torch.split(rank, [v.numel() for v in values])
    return [part.view(v.shape) for part, v in zip(parts, values, strict=True)]


def _per_unit(values: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Mean over the elements of each unit."""
    axes = [axis for axis, n in enumerate(shape) if n == 1 and values.shape[axis] != 1]
    return values.mean(axes, keepdim=True) if axes else values
