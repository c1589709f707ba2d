"""Convolutions and linear layers seen as products: what constants and zeros do in them.

``weight`` is ``[out, in / groups, *kernel]``; a layer's *taps* are its pairs of a filter and an
input channel, ``[out, in / groups]``.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

Product = nn.Conv1d | nn.Conv2d | nn.Conv3d | nn.Linear


def taps(module: Product) -> Tensor:
    """Number of the input channel at each tap, int64 ``[out, in / groups]``."""
    out, per_group = module.weight.shape[:2]
    groups = 1 if isinstance(module, nn.Linear) else module.groups
    first = torch.arange(groups).repeat_interleave(out // groups) * per_group
    return first[:, None] + torch.arange(per_group)


def used(module: Product) -> Tensor:
    """Whether a tap has a weight that is not zero, bool ``[out, in / groups]``."""
    return (module.weight.detach() != 0).reshape(*module.weight.shape[:2], -1).any(2)


def padded(module: Product) -> bool:
    """Whether zeros are put around the maps, so that constants differ at borders."""
    if isinstance(module, nn.Linear) or module.padding_mode != "zeros":
        return False
    if isinstance(module.padding, str):
        return module.padding == "same" and any(k > 1 for k in module.kernel_size)
    return any(module.padding)


def constants(module: Product, known: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
    """Which filters give a constant, and which, if channels ``known`` have ``value``.

    Args:
        module: the layer.
        known: bool ``[in]``.
        value: float64 ``[in]``.

    Returns:
        bool ``[out]``, float64 ``[out]`` (0 where there is no constant).
    """
    which = absorbable(module, known, value)
    constant = (~used(module) | which).all(1)
    total = (_sums(module) * value[taps(module)] * which).sum(1)
    if module.bias is not None:
        total = total + module.bias.detach().double()
    return constant, torch.where(constant, total, 0.0)


def absorbable(module: Product, known: Tensor, value: Tensor) -> Tensor:
    """Taps whose part of the output is the same for every input and pixel, bool like taps."""
    at = taps(module)
    return known[at] & (value[at] == 0) if padded(module) else known[at]


def absorb(module: Product, which: Tensor, value: Tensor) -> Tensor:
    """Set the taps ``which`` to zero, in place.

    Returns:
        what the bias must grow by, float64 ``[out]``.
    """
    delta = (_sums(module) * value[taps(module)] * which).sum(1)
    module.weight.detach()[which] = 0
    return delta


def merge(module: Product, known: Tensor, value: Tensor) -> None:
    """Let one constant channel do the work of all, in place: exact at padded borders, too.

    Channels with constants a and b read through weights u and v give the same as the first alone
    read through u + v b / a. The largest constant stays, which every reader finds alike.
    """
    which = (known & (value != 0)).nonzero()[:, 0]
    if len(which) < 2 or module.weight.shape[1] != len(known):
        return
    stays = which[value[which].abs().argmax()]
    weight = module.weight.detach()
    ratio = (value[which] / value[stays]).to(weight).reshape(1, -1, *(1,) * (weight.ndim - 2))
    total = (weight[:, which] * ratio).sum(1)
    weight[:, which] = 0
    weight[:, stays] = total


def reads(module: Product, needed: Tensor) -> Tensor:
    """Input channels that the filters ``needed`` (bool ``[out]``) read, bool ``[in]``."""
    groups = 1 if isinstance(module, nn.Linear) else module.groups
    found = torch.zeros(module.weight.shape[1] * groups, dtype=torch.bool)
    found[taps(module)[used(module) & needed[:, None]]] = True
    return found


def _sums(module: Product) -> Tensor:
    weight = module.weight.detach().double()
    return weight.reshape(*weight.shape[:2], -1).sum(2)
