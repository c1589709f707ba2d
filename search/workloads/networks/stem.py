"""What the convolutional networks have in common: the choice of a stem, and initial weights."""

from __future__ import annotations

from typing import Literal, TypeVar

from torch import nn

Stem = Literal["imagenet", "cifar"]

IMAGENET_SIDE = 128
"""From this many pixels a side on, a network starts with strides, as the ImageNet forms do."""

M = TypeVar("M", bound=nn.Module)


def stem_for(input_shape: tuple[int, int, int], stem: Stem | None) -> Stem:
    """``stem`` if given, else the form that suits the image size."""
    if stem is not None:
        return stem
    return "imagenet" if min(input_shape[1:]) >= IMAGENET_SIDE else "cifar"


def he_initialised(network: M) -> M:
    """``network`` with convolutions drawn from N(0, 2 / fan_out); linear layers keep theirs.

    Source: He et al., Delving Deep into Rectifiers (ICCV 2015), eq. 14.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return network
