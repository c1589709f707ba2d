"""VGG networks with batch normalisation.

Source: Simonyan and Zisserman, Very Deep Convolutional Networks (ICLR 2015), table 1, A and D.
"""

from __future__ import annotations

from typing import Literal

from torch import nn

from search.workloads.networks.options import at_least
from search.workloads.networks.stem import he_initialised, stem_for

Head = Literal["linear", "full"]

# Channels in units of the width; "M" is a 2x2 max pool.
_VGG11: tuple[int | str, ...] = (1, "M", 2, "M", 4, 4, "M", 8, 8, "M", 8, 8, "M")
_VGG16: tuple[int | str, ...] = (
    1, 1, "M", 2, 2, "M", 4, 4, 4, "M", 8, 8, 8, "M", 8, 8, 8, "M",
)  # fmt: skip


def vgg11(
    input_shape: tuple[int, int, int], classes: int, *, width: int = 64, head: Head | None = None
) -> nn.Module:
    """VGG-11: eight 3x3 convolutions, five pools.

    Args:
        input_shape: ``(C, H, W)``. A pool is left out where the map has one pixel already.
        classes: number of classes.
        width: channels of the first convolution.
        head: ``linear``: global average pool and one linear layer; ``full``: 7x7 average pool and
            three linear layers with dropout. By default ``full`` from 128 pixels a side on.
    """
    return _vgg("vgg11", _VGG11, input_shape, classes, width, head)


def vgg16(
    input_shape: tuple[int, int, int], classes: int, *, width: int = 64, head: Head | None = None
) -> nn.Module:
    """VGG-16: thirteen 3x3 convolutions, five pools; options as for vgg11."""
    return _vgg("vgg16", _VGG16, input_shape, classes, width, head)


def _vgg(
    name: str,
    layers: tuple[int | str, ...],
    input_shape: tuple[int, int, int],
    classes: int,
    width: int,
    head: Head | None,
) -> nn.Module:
    at_least(name, "width", width, 1)
    network = nn.Sequential()
    before, side = input_shape[0], min(input_shape[1:])
    conv = pool = 0
    for layer in layers:
        if isinstance(layer, int):
            conv += 1
            after = layer * width
            network.add_module(f"conv{conv}", nn.Conv2d(before, after, 3, 1, 1, bias=False))
            network.add_module(f"bn{conv}", nn.BatchNorm2d(after))
            network.add_module(f"relu{conv}", nn.ReLU())
            before = after
        elif side > 1:
            pool += 1
            side //= 2
            network.add_module(f"pool{pool}", nn.MaxPool2d(2))
    default: Head = "full" if stem_for(input_shape, None) == "imagenet" else "linear"
    _add_head(network, before, classes, head or default)
    return he_initialised(network)


def _add_head(network: nn.Sequential, features: int, classes: int, head: Head) -> None:
    if head == "linear":
        network.add_module("pool", nn.AdaptiveAvgPool2d(1))
        network.add_module("flatten", nn.Flatten())
        network.add_module("classifier", nn.Linear(features, classes))
        return
    network.add_module("pool", nn.AdaptiveAvgPool2d(7))
    network.add_module("flatten", nn.Flatten())
    before = features * 49
    for number in (1, 2):
        network.add_module(f"linear{number}", nn.Linear(before, 4096))
        network.add_module(f"head_relu{number}", nn.ReLU())
        network.add_module(f"dropout{number}", nn.Dropout(0.5))
        before = 4096
    network.add_module("classifier", nn.Linear(before, classes))
