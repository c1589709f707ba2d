"""Networks for encrypted inference: squares in place of ReLU, strides and averages for maxima.

Source of the sizes: Orion (Ebel, Garimella, Reagen, ASPLOS 2025), its MLP, LoLA, LeNet and AlexNet.
LoLA: Brutzkus, Elisha, Gilad-Bachrach, Low Latency Privacy Preserving Inference (ICML 2019).
Every layer before a square is batch-normalised: a square grows without bound, and normalised inputs
keep it near 1. The normalisation is folded into the layer, so it costs nothing encrypted.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from torch import nn

from search.api.errors import ConfigError
from search.workloads.networks.options import PATH, at_least
from search.workloads.networks.resnet import resnet20
from search.workloads.networks.stem import he_initialised
from search.workloads.square import Square

Activation = Literal["square", "relu", "silu"]

_ACTIVATIONS: Mapping[str, Callable[[], nn.Module]] = {
    "square": Square, "relu": nn.ReLU, "silu": nn.SiLU,
}  # fmt: skip


def ckks_mlp(
    input_shape: tuple[int, int, int],
    classes: int,
    *,
    hidden: Sequence[int] = (128, 128),
    activation: Activation = "square",
    batch_norm: bool = True,
) -> nn.Module:
    """Multi-layer perceptron: 784-128-128-10 on 28x28 images; 5 levels.

    Args:
        input_shape: ``(C, H, W)``.
        classes: number of classes.
        hidden: widths of the hidden layers.
        activation: behind each hidden layer.
        batch_norm: normalise before each activation.
    """
    network = nn.Sequential()
    network.add_module("flatten", nn.Flatten())
    _perceptron(network, math.prod(input_shape), hidden, classes, activation, batch_norm)
    return network


def ckks_lola(
    input_shape: tuple[int, int, int],
    classes: int,
    *,
    channels: int = 5,
    hidden: int = 100,
    activation: Activation = "square",
    batch_norm: bool = True,
) -> nn.Module:
    """LoLA: a convolution and two linear layers; 845-100-10 behind it on 28x28 images; 5 levels.

    Args:
        input_shape: ``(C, H, W)``.
        classes: number of classes.
        channels: of the convolution, 5x5 with stride 2 and padding 1: 13x13 maps.
        hidden: width of the hidden layer.
        activation: behind each of the first two layers.
        batch_norm: normalise before each activation.
    """
    at_least("ckks_lola", "channels", channels, 1)
    network = nn.Sequential()
    shape = _convolved(network, "ckks_lola", input_shape, channels, 1, activation, batch_norm, 1)
    network.add_module("flatten", nn.Flatten())
    _perceptron(network, math.prod(shape), (hidden,), classes, activation, batch_norm, start=2)
    return network


def ckks_lenet(
    input_shape: tuple[int, int, int],
    classes: int,
    *,
    channels: tuple[int, int] = (32, 64),
    hidden: int = 512,
    activation: Activation = "square",
    batch_norm: bool = True,
) -> nn.Module:
    """LeNet with strides for pools: two 5x5 convolutions, two linear layers; 7 levels.

    Args:
        input_shape: ``(C, H, W)``.
        classes: number of classes.
        channels: of the convolutions; at 28x28 3136 elements go into the first linear layer.
        hidden: width of the hidden layer.
        activation: behind each of the first three layers.
        batch_norm: normalise before each activation.
    """
    network, shape = nn.Sequential(), input_shape
    for number, width in enumerate(channels, start=1):
        at_least("ckks_lenet", "channels", width, 1)
        shape = _convolved(network, "ckks_lenet", shape, width, number, activation, batch_norm, 2)
    network.add_module("flatten", nn.Flatten())
    _perceptron(network, math.prod(shape), (hidden,), classes, activation, batch_norm, start=3)
    return network


def ckks_cnn6(
    input_shape: tuple[int, int, int],
    classes: int,
    *,
    channels: tuple[int, int] = (8, 16),
    activation: Activation = "square",
    batch_norm: bool = True,
) -> nn.Module:
    """A strided convolution, a depthwise and a pointwise one, a linear layer; 6 levels.

    The depthwise and the pointwise convolution stay apart: their product would be a dense one.

    Args:
        input_shape: ``(C, H, W)``.
        classes: number of classes.
        channels: of the first convolution, 5x5 with stride 2, and of the pointwise one, stride 2.
        activation: behind the first and the pointwise convolution.
        batch_norm: normalise before each activation.
    """
    for width in channels:
        at_least("ckks_cnn6", "channels", width, 1)
    network, (first, second) = nn.Sequential(), channels
    shape = _convolved(network, "ckks_cnn6", input_shape, first, 1, activation, batch_norm, 2)
    network.add_module("depthwise", nn.Conv2d(first, first, 3, 1, 1, groups=first, bias=False))
    network.add_module("pointwise", nn.Conv2d(first, second, 1, 2, bias=not batch_norm))
    if batch_norm:
        network.add_module("bn2", nn.BatchNorm2d(second))
    network.add_module("act2", _ACTIVATIONS[activation]())
    network.add_module("flatten", nn.Flatten())
    pixels = math.prod((side + 1) // 2 for side in shape[1:])
    network.add_module("classifier", nn.Linear(second * pixels, classes))
    return network


def ckks_resnet20(
    input_shape: tuple[int, int, int],
    classes: int,
    *,
    width: int = 16,
    activation: Activation = "square",
) -> nn.Module:
    """ResNet-20 for CIFAR with another activation: three stages of three basic blocks.

    With squares there is none behind the additions: a shortcut that is squared block after block
    grows (or vanishes) doubly exponentially, and no normalisation stands in its way.

    Args:
        input_shape: ``(C, H, W)``.
        classes: number of classes.
        width: channels w of the first stage; then 2w and 4w.
        activation: everywhere; ``square``: behind the stem and inside each block.
    """
    network = resnet20(input_shape, classes, width=width)
    for name, module in list(network.named_modules()):
        if isinstance(module, nn.ReLU):
            summed = activation == "square" and name.endswith("relu2")
            network.set_submodule(name, nn.Identity() if summed else _ACTIVATIONS[activation]())
    return network


def ckks_alexnet(
    input_shape: tuple[int, int, int],
    classes: int,
    *,
    width: int = 64,
    hidden: int = 4096,
    activation: Activation = "silu",
) -> nn.Module:
    """AlexNet for 32x32 images as Orion has it: five convolutions, three linear layers.

    Args:
        input_shape: ``(C, H, W)``.
        classes: number of classes.
        width: channels w of the first convolution; then 3w, 6w, 4w, 4w.
        hidden: width of the linear layers.
        activation: behind every layer but the last.
    """
    at_least("ckks_alexnet", "width", width, 1)
    network, before = nn.Sequential(), input_shape[0]
    plan = ((width, 2, 2), (3 * width, 1, 2), (6 * width, 1, 1), (4 * width, 1, 1))
    for number, (after, stride, pool) in enumerate((*plan, (4 * width, 1, 1)), start=1):
        network.add_module(f"conv{number}", nn.Conv2d(before, after, 3, stride, 1, bias=False))
        network.add_module(f"bn{number}", nn.BatchNorm2d(after))
        network.add_module(f"act{number}", _ACTIVATIONS[activation]())
        if pool > 1:
            network.add_module(f"pool{number}", nn.AvgPool2d(pool))
        before = after
    network.add_module("pool", nn.AdaptiveAvgPool2d(2))
    network.add_module("flatten", nn.Flatten())
    _perceptron(network, 4 * before, (hidden, hidden), classes, activation, True, start=6)
    return he_initialised(network)


def _convolved(
    network: nn.Sequential,
    name: str,
    shape: tuple[int, int, int],
    width: int,
    number: int,
    activation: Activation,
    batch_norm: bool,
    padding: int,
) -> tuple[int, int, int]:
    """Add a 5x5 convolution of stride 2 with what follows it; gives the shape of its result."""
    sides = [(side + 2 * padding - 5) // 2 + 1 for side in shape[1:]]
    if min(shape[1:]) + 2 * padding < 5:
        raise ConfigError(
            f"network {name}: images of {shape[1]}x{shape[2]} are too small", path=PATH
        )
    network.add_module(
        f"conv{number}", nn.Conv2d(shape[0], width, 5, 2, padding, bias=not batch_norm)
    )
    if batch_norm:
        network.add_module(f"bn{number}", nn.BatchNorm2d(width))
    network.add_module(f"act{number}", _ACTIVATIONS[activation]())
    return (width, sides[0], sides[1])


def _perceptron(
    network: nn.Sequential,
    features: int,
    hidden: Sequence[int],
    classes: int,
    activation: Activation,
    batch_norm: bool,
    *,
    start: int = 1,
) -> None:
    """Add hidden linear layers and a classifier."""
    for number, width in enumerate(hidden, start=start):
        at_least("network", "hidden", width, 1)
        network.add_module(f"linear{number}", nn.Linear(features, width, bias=not batch_norm))
        if batch_norm:
            network.add_module(f"bn{number}", nn.BatchNorm1d(width))
        network.add_module(f"act{number}", _ACTIVATIONS[activation]())
        features = width
    network.add_module("classifier", nn.Linear(features, classes))
