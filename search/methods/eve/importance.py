"""What each weight of the teacher is worth; modes keep the units worth most."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from search.methods.trainer import Batches
from search.workloads.nested import shared_weights

if TYPE_CHECKING:
    from search.workloads.data.splits import Split

Importance = Literal["magnitude", "taylor"]

_BATCH = 64


def importance(
    network: nn.Module, split: Split, kind: Importance, *, images: int, seed: int, device: str
) -> dict[str, Tensor]:
    """Name of a shared weight -> what each entry is worth, at least 0, on the CPU.

    Args:
        network: the teacher; its gradients are lost.
        split: the training split.
        kind: ``magnitude``: w squared. ``taylor``: (w dL/dw) squared, mean over batches: what the
            loss would change by, to first order, were the entry 0.
        images: that ``taylor`` looks at.
        seed: of which ones.
        device: where.

    Source: Molchanov et al., Importance Estimation for Neural Network Pruning (CVPR 2019), for
        ``taylor``.
    """
    weights = shared_weights(network)
    if kind == "magnitude":
        return {n: w.detach().square().cpu() for n, w in weights.items()}
    network.to(device).eval()
    weights = shared_weights(network)
    worth = {n: torch.zeros_like(w) for n, w in weights.items()}
    batches = Batches(len(split), _BATCH, seed=seed, device=device)
    x, y = split.x.to(device), split.y.to(device)
    for _, index in zip(range(max(1, images // batches.size)), batches, strict=False):
        loss = functional.cross_entropy(network(x[index]), y[index])
        gradients = torch.autograd.grad(loss, list(weights.values()))
        for (name, weight), gradient in zip(weights.items(), gradients, strict=True):
            worth[name] += (weight.detach() * gradient).square()
    return {n: v.cpu() for n, v in worth.items()}
