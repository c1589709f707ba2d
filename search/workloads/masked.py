"""A site that is ReLU where a mask keeps it, and something cheaper elsewhere."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from search.api.errors import ConfigError, EvaluationError


class MaskedActivation(nn.Module):
    """``kept(x)`` where ``mask`` is true, ``replacement(x)`` elsewhere; shape is kept.

    The mask has one entry per element of a sample and is the same for every sample: it is public,
    so a secure protocol compares only the elements it keeps. It is part of the module's state, and
    hence of a file of weights.

    Args:
        kept: elementwise module, ReLU or ReLU6.
        replacement: elementwise module.
        shape: shape of a sample, ``(C, H, W)`` or ``(F,)``.
    """

    def __init__(self, kept: nn.Module, replacement: nn.Module, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.kept, self.replacement = kept, replacement
        self.register_buffer("mask", torch.ones(shape, dtype=torch.bool))

    def forward(self, x: Tensor) -> Tensor:
        """``x`` of shape ``[n, *shape]``, same shape out."""
        return torch.where(self.get_buffer("mask"), self.kept(x), self.replacement(x))

    def set_mask(self, mask: Tensor) -> None:
        """Keep ReLU where ``mask`` (bool, broadcastable to the site's shape) is true.

        Raises:
            ConfigError: not a mask of booleans of that shape.
        """
        own = self.get_buffer("mask")
        if mask.dtype != torch.bool:
            raise ConfigError(f"expected a mask of booleans (got {mask.dtype})")
        try:
            own.copy_(mask.expand_as(own))
        except RuntimeError as error:
            raise ConfigError(
                f"a mask of shape {tuple(mask.shape)} does not fit a site of shape "
                f"{tuple(own.shape)}"
            ) from error

    @property
    def count(self) -> int:
        """Elements per sample that stay ReLU."""
        return int(self.get_buffer("mask").sum())

    def extra_repr(self) -> str:
        """Kept share, for printed networks."""
        return f"kept {self.count} of {self.get_buffer('mask').numel()}"


def mask_digest(mask: Tensor) -> str:
    """SHA-256 of a mask: its shape, then its bits in C order, 8 to a byte (first bit highest)."""
    import numpy as np

    flat = mask.detach().to("cpu", torch.bool).contiguous().numpy()
    text = "x".join(str(n) for n in flat.shape)
    return hashlib.sha256(
        text.encode() + b":" + np.packbits(flat.reshape(-1)).tobytes()
    ).hexdigest()


def masks_of(network: nn.Module) -> dict[str, Tensor]:
    """Site -> mask (bool, the site's shape) of every masked site of ``network``."""
    return {
        name: module.get_buffer("mask")
        for name, module in network.named_modules()
        if isinstance(module, MaskedActivation)
    }


def check_masks(network: nn.Module, digests: Mapping[str, str]) -> None:
    """That the masks in ``network`` are those of ``digests`` (site -> :func:`mask_digest`).

    Raises:
        EvaluationError: a mask is missing or another one.
    """
    found = masks_of(network)
    for site, digest in digests.items():
        if site not in found:
            raise EvaluationError(f"{site}: the plan has a mask, the network does not")
        if mask_digest(found[site]) != digest:
            raise EvaluationError(
                f"{site}: the mask in the weights is not the one of the plan. "
                "Do both come from the same trial?"
            )
