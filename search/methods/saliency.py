"""How much the loss depends on each unit of the masks, from gradients and without training."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from search.api.errors import EvaluationError
from search.methods.mask_students import masked_at
from search.methods.trainer import Batches
from search.workloads.masked import MaskedActivation
from spaces.masking import Masking

if TYPE_CHECKING:
    from search.workloads.data.splits import Split

Criterion = Literal["snip", "signed", "fisher"]


def saliency(
    network: nn.Module,
    masking: Masking,
    split: Split,
    *,
    images: int,
    batch_size: int,
    seed: int,
    device: str,
    criterion: Criterion = "snip",
) -> tuple[dict[str, Tensor], int]:
    """Score of every unit: what the cross-entropy of the labels loses with its ReLUs.

    The mask is relaxed to ``y = m relu(x) + (1 - m) g(x)`` around its present values, and ``d_i``
    is the derivative of the loss of image ``i`` to ``m``, summed over the elements of the unit.

    Args:
        network: masked activations at every free site; used in evaluation mode, not changed.
        masking: sites and units.
        split: where images come from.
        images: of the split, drawn with ``seed``; at least one batch.
        batch_size: images at once.
        seed: of the draw.
        device: where.
        criterion: ``snip``: ``|mean d_i|``; ``signed``: ``-mean d_i``, the first-order loss of
            dropping; ``fisher``: ``mean d_i^2``, which does not vanish where the loss is flat.

    Returns:
        Free site -> score per ReLU element, of shape ``masking.unit_shape(site)``, on the CPU, and
        the images used.

    Raises:
        EvaluationError: a score is not finite.

    Source: Lee et al., SNIP: single-shot network pruning based on connection sensitivity (ICLR
    2019), eq. 4, for masks of activations in place of weights; ``fisher`` after Theis et al.,
    Faster gaze prediction with dense networks and Fisher pruning (2018).
    """
    network.to(device).eval()
    batches = Batches(len(split), batch_size, seed=seed)
    steps = max(1, images // batches.size)
    totals: dict[str, Tensor] = {}
    for _, index in zip(range(steps), batches, strict=False):
        x, y = split.x[index].to(device), split.y[index].to(device)
        with _relaxed(network, masking) as gates:
            loss = F.cross_entropy(network(x).float(), y, reduction="sum")
        slopes = torch.autograd.grad(loss, [gates[site.name] for site in masking.free])
        for site, slope in zip(masking.free, slopes, strict=True):
            unit = _per_unit(slope, masking.unit_shape(site))
            part = (unit.square() if criterion == "fisher" else unit).sum(0)
            totals[site.name] = totals.get(site.name, torch.zeros_like(part)) + part
    used = steps * batches.size
    scores = {
        site.name: _score(totals[site.name] / used, criterion).cpu() / masking.unit_elements(site)
        for site in masking.free
    }
    for name, score in scores.items():
        if not bool(torch.isfinite(score).all()):
            raise EvaluationError(f"{name}: the gradient of the loss is not finite")
    return scores, used


@contextmanager
def _relaxed(network: nn.Module, masking: Masking) -> Iterator[Mapping[str, Tensor]]:
    """Free site -> gates of ones ``[n, *shape]`` that the next forward pass depends on.

    A gate of 1 leaves the output as the mask has it; its derivative is that of ``m``.
    """
    gates: dict[str, Tensor] = {}

    def gate(name: str) -> Callable[..., Tensor]:
        def hook(module: MaskedActivation, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
            x = inputs[0]
            gates[name] = torch.ones_like(output, requires_grad=True)
            difference: Tensor = (module.kept(x) - module.replacement(x)).detach()
            return output + (gates[name] - 1) * difference

        return hook

    hooks: list[Any] = [
        masked_at(network, s.name).register_forward_hook(gate(s.name)) for s in masking.free
    ]
    try:
        yield gates
    finally:
        for handle in hooks:
            handle.remove()


def _per_unit(slope: Tensor, shape: tuple[int, ...]) -> Tensor:
    """``[n, *site shape]`` summed over the elements of each unit, ``[n, *shape]``."""
    axes = [i + 1 for i, n in enumerate(shape) if n == 1 and slope.shape[i + 1] != 1]
    return slope.sum(axes, keepdim=True) if axes else slope


def _score(mean: Tensor, criterion: Criterion) -> Tensor:
    if criterion == "fisher":
        return mean
    return -mean if criterion == "signed" else mean.abs()
