"""Two classics for a first try: a multi-layer perceptron and LeNet-5."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import nn

from search.api.errors import ConfigError
from search.workloads.networks.options import PATH, at_least


def mlp(
    input_shape: tuple[int, int, int], classes: int, *, hidden: Sequence[int] = (128, 128)
) -> nn.Module:
    """Multi-layer perceptron: flatten, then linear layers with ReLU between them.

    Args:
        input_shape: ``(C, H, W)``.
        classes: number of classes.
        hidden: widths of the hidden layers; none gives a linear classifier.
    """
    network = nn.Sequential()
    network.add_module("flatten", nn.Flatten())
    before = math.prod(input_shape)
    for number, width in enumerate(hidden, start=1):
        at_least("mlp", "hidden", width, 1)
        network.add_module(f"linear{number}", nn.Linear(before, width))
        network.add_module(f"relu{number}", nn.ReLU())
        before = width
    network.add_module("classifier", nn.Linear(before, classes))
    return network


def lenet5(
    input_shape: tuple[int, int, int], classes: int, *, batch_norm: bool = False
) -> nn.Module:
    """LeNet-5 with ReLU and max pools: two 5x5 convolutions, three linear layers.

    Images below 32x32 are padded in the first convolution, as 28x28 ones commonly are.

    Args:
        input_shape: ``(C, H, W)``, at least 12x12.
        classes: number of classes.
        batch_norm: normalise behind each convolution; steadier with polynomials.

    Source: LeCun et al., Gradient-Based Learning (Proc. IEEE 1998), figure 2.
    """
    channels, *sides = input_shape
    padding = 2 if min(sides) < 32 else 0
    after = [((side + 2 * padding - 4) // 2 - 4) // 2 for side in sides]
    if min(after) < 1:
        raise ConfigError(
            f"network lenet5: images must be at least 12x12 (got {sides[0]}x{sides[1]})", path=PATH
        )
    network = nn.Sequential()
    for number, (before, width, pad) in enumerate(((channels, 6, padding), (6, 16, 0)), start=1):
        network.add_module(f"conv{number}", nn.Conv2d(before, width, 5, padding=pad))
        if batch_norm:
            network.add_module(f"bn{number}", nn.BatchNorm2d(width))
        network.add_module(f"relu{number}", nn.ReLU())
        network.add_module(f"pool{number}", nn.MaxPool2d(2))
    network.add_module("flatten", nn.Flatten())
    for number, (before, width) in enumerate(((16 * math.prod(after), 120), (120, 84)), start=3):
        network.add_module(f"linear{number}", nn.Linear(before, width))
        network.add_module(f"relu{number}", nn.ReLU())
    network.add_module("classifier", nn.Linear(84, classes))
    return network


def lenet5_caffe(input_shape: tuple[int, int, int], classes: int) -> nn.Module:
    """The LeNet-5 that papers on pruning prune: 20 and 50 filters, 500 hidden units.

    430,500 weights on 28 x 28 images. Pools stand before the ReLUs, which gives the same function
    in less time.

    Args:
        input_shape: ``(C, H, W)``, at least 16x16.
        classes: number of classes.

    Source: Zhang et al. (ECCV 2018), released code: layer sizes.
    """
    channels, *sides = input_shape
    after = [((side - 4) // 2 - 4) // 2 for side in sides]
    if min(after) < 1:
        raise ConfigError(
            f"network lenet5_caffe: images must be at least 16x16 (got {sides[0]}x{sides[1]})",
            path=PATH,
        )
    network = nn.Sequential()
    for number, (before, width) in enumerate(((channels, 20), (20, 50)), start=1):
        network.add_module(f"conv{number}", nn.Conv2d(before, width, 5))
        network.add_module(f"pool{number}", nn.MaxPool2d(2))
        network.add_module(f"relu{number}", nn.ReLU())
    network.add_module("flatten", nn.Flatten())
    network.add_module("fc1", nn.Linear(50 * math.prod(after), 500))
    network.add_module("relu3", nn.ReLU())
    network.add_module("fc2", nn.Linear(500, classes))
    return network


def lenet_300_100(input_shape: tuple[int, int, int], classes: int) -> nn.Module:
    """The perceptron of 300 and 100 hidden units that papers on pruning prune.

    Args:
        input_shape: ``(C, H, W)``.
        classes: number of classes.
    """
    return mlp(input_shape, classes, hidden=(300, 100))


def tiny_cnn(
    input_shape: tuple[int, int, int], classes: int, *, widths: Sequence[int] = (16, 32, 32)
) -> nn.Module:
    """For microcontrollers: 3x3 convolutions, each halved by a max pool, and one linear layer.

    Args:
        input_shape: ``(C, H, W)``; both sides at least 2 for each convolution.
        classes: number of classes.
        widths: filters of the convolutions.
    """
    channels, *sides = input_shape
    after = [side >> len(widths) for side in sides]
    if not widths or min(after) < 1:
        raise ConfigError(
            f"network tiny_cnn: images of {sides[0]}x{sides[1]} cannot be halved {len(widths)} "
            "times (expected at least one width, and larger images)",
            path=PATH,
        )
    network = nn.Sequential()
    before = channels
    for number, width in enumerate(widths, start=1):
        at_least("tiny_cnn", "widths", width, 1)
        network.add_module(f"conv{number}", nn.Conv2d(before, width, 3, padding=1))
        network.add_module(f"pool{number}", nn.MaxPool2d(2))
        network.add_module(f"relu{number}", nn.ReLU())
        before = width
    network.add_module("flatten", nn.Flatten())
    network.add_module("classifier", nn.Linear(before * math.prod(after), classes))
    return network
