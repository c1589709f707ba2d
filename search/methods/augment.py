"""Random changes of training images, by a seeded generator."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

Augmentation = Literal["none", "flip", "shift", "shift_flip"]

# Pixels an image moves at most, as a share of its side: 4 of 32, as is usual on CIFAR.
_SHIFT_SHARE = 0.125


def augment(images: Tensor, kind: Augmentation, generator: torch.Generator) -> Tensor:
    """A changed copy of ``images`` (themselves with ``none``).

    Args:
        images: ``[n, C, H, W]`` on any device.
        kind: ``flip`` mirrors half of the images left to right; ``shift`` moves each by up to an
            eighth of its side, filling with zeros; ``shift_flip`` does both.
        generator: on the CPU, so that every device gives the same images.
    """
    if kind == "none":
        return images
    if "shift" in kind:
        images = _shifted(images, generator)
    if "flip" in kind:
        flips = torch.rand(len(images), generator=generator) < 0.5
        images = torch.where(flips.to(images.device).view(-1, 1, 1, 1), images.flip(3), images)
    return images


def _shifted(images: Tensor, generator: torch.Generator) -> Tensor:
    n, _, height, width = images.shape
    reach = max(1, round(_SHIFT_SHARE * max(height, width)))
    padded = F.pad(images, (reach,) * 4)
    moves = torch.randint(2 * reach + 1, (n, 2), generator=generator).to(images.device)
    rows = moves[:, :1] + torch.arange(height, device=images.device)
    columns = moves[:, 1:] + torch.arange(width, device=images.device)
    which = torch.arange(n, device=images.device).view(n, 1, 1)
    # Advanced indices around a slice put the channel axis last: [n, H, W, C].
    return padded[which, :, rows.unsqueeze(2), columns.unsqueeze(1)].movedim(3, 1)
