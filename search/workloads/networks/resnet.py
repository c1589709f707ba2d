"""Residual networks: for small images, for CIFAR and for ImageNet, and wide ones.

Source: He et al., Deep Residual Learning (CVPR 2016), tables 1 and 6; Zagoruyko and Komodakis,
Wide Residual Networks (BMVC 2016), table 1.
"""

from __future__ import annotations

from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

Stem = Literal["imagenet", "cifar"]


def resnet_mini(input_shape: tuple[int, int, int], classes: int, *, width: int = 16) -> nn.Module:
    """Small residual net: 3x3 stem, 2x2 max pool, three basic blocks of w, 2w, 4w channels.

    The second block halves the map. Seven activations and one pool to choose. For 14x14 images.
    """
    channels = input_shape[0]
    stages = [
        _Basic(width, width, 1),
        _Basic(width, 2 * width, 2),
        _Basic(2 * width, 4 * width, 1),
    ]
    stem = _stem(channels, width, "cifar")
    stem.add_module("pool", nn.MaxPool2d(2))
    return _initialised(_ResNet(stem, [nn.Sequential(s) for s in stages], 4 * width, classes))


class _Basic(nn.Module):
    """Two 3x3 convolutions and a shortcut, which is projected where the shape changes."""

    expansion = 1

    def __init__(self, before: int, width: int, stride: int, *, pad: bool = False) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.shortcut = _shortcut(before, width, stride, pad=pad)
        self.relu2 = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """``[n, before, H, W]`` to ``[n, width, H / stride, W / stride]``."""
        y = self.relu1(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return self.relu2(y + self.shortcut(x))


class _Bottleneck(nn.Module):
    """1x1, 3x3, 1x1 convolutions; the stride is on the 3x3 one; four times wider at the end."""

    expansion = 4

    def __init__(self, before: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.relu2 = nn.ReLU()
        self.conv3 = nn.Conv2d(width, 4 * width, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * width)
        self.shortcut = _shortcut(before, 4 * width, stride)
        self.relu3 = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """``[n, before, H, W]`` to ``[n, 4 * width, H / stride, W / stride]``."""
        y = self.relu1(self.bn1(self.conv1(x)))
        y = self.relu2(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return self.relu3(y + self.shortcut(x))


class _PaddedShortcut(nn.Module):
    """Every second pixel, and zeros for the new channels: a shortcut without weights."""

    def __init__(self, stride: int, extra: int) -> None:
        super().__init__()
        self.stride, self.extra = stride, extra

    def forward(self, x: Tensor) -> Tensor:
        """``[n, C, H, W]`` to ``[n, C + extra, H / stride, W / stride]``."""
        half = self.extra // 2
        thinned = x[:, :, :: self.stride, :: self.stride]
        return F.pad(thinned, (0, 0, 0, 0, half, self.extra - half))


class _ResNet(nn.Module):
    """Stem, stages, global average pool, linear classifier."""

    def __init__(
        self, stem: nn.Sequential, stages: list[nn.Sequential], features: int, classes: int
    ) -> None:
        super().__init__()
        self.stem = stem
        for number, stage in enumerate(stages, start=1):
            self.add_module(f"stage{number}", stage)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.classifier = nn.Linear(features, classes)
        self.stages = [f"stage{number}" for number in range(1, len(stages) + 1)]

    def forward(self, x: Tensor) -> Tensor:
        """``[n, C, H, W]`` to logits ``[n, classes]``."""
        x = self.stem(x)
        for name in self.stages:
            x = self.get_submodule(name)(x)
        return self.classifier(self.flatten(self.pool(x)))


def _shortcut(before: int, after: int, stride: int, *, pad: bool = False) -> nn.Module:
    if stride == 1 and before == after:
        return nn.Identity()
    if pad:
        return _PaddedShortcut(stride, after - before)
    return nn.Sequential(nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after))


def _stem(channels: int, width: int, kind: Stem) -> nn.Sequential:
    if kind == "imagenet":
        conv = nn.Conv2d(channels, width, 7, 2, 3, bias=False)
        pool = [nn.MaxPool2d(3, 2, 1)]
    else:
        conv = nn.Conv2d(channels, width, 3, 1, 1, bias=False)
        pool = []
    stem = nn.Sequential()
    stem.add_module("conv", conv)
    stem.add_module("bn", nn.BatchNorm2d(width))
    stem.add_module("relu", nn.ReLU())
    for module in pool:
        stem.add_module("pool", module)
    return stem


def _initialised(network: nn.Module) -> nn.Module:
    """He initialisation of the convolutions (fan out), as the ResNet papers have it."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return network
