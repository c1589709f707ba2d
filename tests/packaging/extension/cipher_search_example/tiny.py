"""A network given by its factory."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn


def tiny(input_shape: tuple[int, int, int], classes: int, *, width: int = 8) -> nn.Module:
    """One hidden layer."""
    from torch import nn

    channels, height, across = input_shape
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(channels * height * across, width),
        nn.ReLU(),
        nn.Linear(width, classes),
    )
