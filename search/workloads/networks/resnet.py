"""Residual networks for small images, for CIFAR and for ImageNet.

Source: He et al., Deep Residual Learning for Image Recognition (CVPR 2016): tables 1 and 6, and
section 4.2 for CIFAR. The wide ones are in :mod:`search.workloads.networks.wide`.
"""

from __future__ import annotations

from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from search.workloads.networks import wide
from search.workloads.networks.options import at_least
from search.workloads.networks.stem import Stem, he_initialised, stem_for

Shortcut = Literal["padded", "projected"]


def resnet_mini(
    input_shape: tuple[int, int, int],
    classes: int,
    *,
    width: int = 16,
    large_blocks: int = 3,
    small_blocks: int = 1,
) -> nn.Module:
    """Small residual net for 14x14 images: most of its activations are on full-size maps.

    A 3x3 stem, basic blocks of w channels at full size, a 2x2 max pool, basic blocks of 2w
    channels. By default nine activations and one pool to choose.

    Args:
        input_shape: ``(C, H, W)``.
        classes: number of classes.
        width: channels w of the stem and the first blocks.
        large_blocks: blocks before the pool.
        small_blocks: blocks behind it.
    """
    for name, value in (("width", width), ("large_blocks", large_blocks)):
        at_least("resnet_mini", name, value, 1)
    at_least("resnet_mini", "small_blocks", small_blocks, 1)
    plan = ((width, large_blocks, 1), (2 * width, small_blocks, 1))
    network = _resnet(_stem(input_shape[0], width, "cifar"), width, plan, classes)
    network.get_submodule("stage1").add_module("pool", nn.MaxPool2d(2))
    return network


def resnet_tiny(
    input_shape: tuple[int, int, int],
    classes: int,
    *,
    width: int = 8,
    first_stride: int = 1,
) -> nn.Module:
    """Six 3x3 convolutions of w, w, 2w, 2w, 4w, 4w channels: for many trainings on one core.

    Three stages, each a convolution (the second and third with stride 2) and a residual one; an
    activation behind each. At 14x14 and the default width there are 5,728 ReLUs.

    Args:
        input_shape: ``(C, H, W)``.
        classes: number of classes.
        width: channels w of the first stage.
        first_stride: stride of the first convolution; 2 makes 32x32 images about as cheap as
            16x16 ones.
    """
    at_least("resnet_tiny", "width", width, 1)
    at_least("resnet_tiny", "first_stride", first_stride, 1)
    plan = ((width, first_stride), (2 * width, 2), (4 * width, 2))
    stages, before = [], input_shape[0]
    for after, stride in plan:
        stages.append(nn.Sequential(_Pair(before, after, stride)))
        before = after
    return he_initialised(_ResNet(nn.Sequential(), stages, before, classes))


def resnet18(
    input_shape: tuple[int, int, int],
    classes: int,
    *,
    stem: Stem | None = None,
    width: int = 64,
) -> nn.Module:
    """ResNet-18: eight basic blocks in stages of w, 2w, 4w, 8w channels.

    Args:
        input_shape: ``(C, H, W)``.
        classes: number of classes.
        stem: ``imagenet``: 7x7 stride 2 and 3x3 max pool; ``cifar``: 3x3 alone. By default the
            first where the image has 128 or more pixels a side.
        width: channels of the first stage. At 64 and 32x32 images there are 557,056 ReLUs.
    """
    at_least("resnet18", "width", width, 1)
    plan = ((width, 2, 1), (2 * width, 2, 2), (4 * width, 2, 2), (8 * width, 2, 2))
    first = _stem(input_shape[0], width, stem_for(input_shape, stem))
    return _resnet(first, width, plan, classes)


def resnet50(
    input_shape: tuple[int, int, int],
    classes: int,
    *,
    stem: Stem | None = None,
    width: int = 64,
) -> nn.Module:
    """ResNet-50: sixteen bottleneck blocks (stride on the 3x3 convolution); else as resnet18."""
    at_least("resnet50", "width", width, 1)
    plan = ((width, 3, 1), (2 * width, 4, 2), (4 * width, 6, 2), (8 * width, 3, 2))
    first = _stem(input_shape[0], width, stem_for(input_shape, stem))
    return _resnet(first, width, plan, classes, bottleneck=True)


def resnet20(
    input_shape: tuple[int, int, int],
    classes: int,
    *,
    width: int = 16,
    shortcut: Shortcut = "padded",
) -> nn.Module:
    """ResNet-20 of the CIFAR experiments: nine basic blocks of w, 2w, 4w channels.

    Args:
        input_shape: ``(C, H, W)``.
        classes: number of classes.
        width: channels of the first stage.
        shortcut: where the shape changes: ``padded`` with zero channels, as in the paper, or
            ``projected`` by a 1x1 convolution.
    """
    return _cifar_resnet("resnet20", 3, input_shape, classes, width, shortcut)


def resnet32(
    input_shape: tuple[int, int, int],
    classes: int,
    *,
    width: int = 16,
    shortcut: Shortcut = "padded",
) -> nn.Module:
    """ResNet-32 of the CIFAR experiments: fifteen basic blocks; options as for resnet20."""
    return _cifar_resnet("resnet32", 5, input_shape, classes, width, shortcut)


class _Pair(nn.Module):
    """A 3x3 convolution, and a second one around which the first one's output is added."""

    def __init__(self, before: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.relu2 = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """``[n, before, H, W]`` to ``[n, width, H / stride, W / stride]``."""
        y = self.relu1(self.bn1(self.conv1(x)))
        out: Tensor = self.relu2(y + self.bn2(self.conv2(y)))
        return out


class _Basic(nn.Module):
    """Two 3x3 convolutions and a shortcut, which is projected where the shape changes."""

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
        out: Tensor = self.relu2(y + self.shortcut(x))
        return out


class _Bottleneck(nn.Module):
    """1x1, 3x3, 1x1 convolutions; the stride is on the 3x3 one; four times wider at the end."""

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
        out: Tensor = self.relu3(y + self.shortcut(x))
        return out


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
        self.stages = [f"stage{number}" for number in range(1, len(stages) + 1)]
        for name, stage in zip(self.stages, stages, strict=True):
            self.add_module(name, stage)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.classifier = nn.Linear(features, classes)

    def forward(self, x: Tensor) -> Tensor:
        """``[n, C, H, W]`` to logits ``[n, classes]``."""
        x = self.stem(x)
        for name in self.stages:
            x = self.get_submodule(name)(x)
        logits: Tensor = self.classifier(self.flatten(self.pool(x)))
        return logits


def _shortcut(before: int, after: int, stride: int, *, pad: bool = False) -> nn.Module:
    if stride == 1 and before == after:
        return nn.Identity()
    if pad:
        return _PaddedShortcut(stride, after - before)
    return nn.Sequential(nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after))


def _stem(channels: int, width: int, kind: Stem) -> nn.Sequential:
    size, stride, padding = (7, 2, 3) if kind == "imagenet" else (3, 1, 1)
    stem = nn.Sequential()
    stem.add_module("conv", nn.Conv2d(channels, width, size, stride, padding, bias=False))
    stem.add_module("bn", nn.BatchNorm2d(width))
    stem.add_module("relu", nn.ReLU())
    if kind == "imagenet":
        stem.add_module("pool", nn.MaxPool2d(3, 2, 1))
    return stem


def _resnet(
    stem: nn.Sequential,
    before: int,
    plan: tuple[tuple[int, int, int], ...],
    classes: int,
    *,
    bottleneck: bool = False,
    pad: bool = False,
) -> nn.Module:
    """``plan`` has (width, blocks, stride of the first block) for each stage."""
    stages = []
    for width, blocks, stride in plan:
        stage = nn.Sequential()
        for number in range(blocks):
            step = stride if number == 0 else 1
            if bottleneck:
                stage.append(_Bottleneck(before, width, step))
                before = 4 * width
            else:
                stage.append(_Basic(before, width, step, pad=pad))
                before = width
        stages.append(stage)
    return he_initialised(_ResNet(stem, stages, before, classes))


def _cifar_resnet(
    name: str,
    blocks: int,
    input_shape: tuple[int, int, int],
    classes: int,
    width: int,
    shortcut: Shortcut,
) -> nn.Module:
    at_least(name, "width", width, 1)
    plan = ((width, blocks, 1), (2 * width, blocks, 2), (4 * width, blocks, 2))
    stem = _stem(input_shape[0], width, "cifar")
    return _resnet(stem, width, plan, classes, pad=shortcut == "padded")


def wrn22_8(
    input_shape: tuple[int, int, int], classes: int, *, width: int = 8, dropout: float = 0.0
) -> nn.Module:
    """WRN-22-8, see :func:`search.workloads.networks.wide.wrn22_8`."""
    return wide.wrn22_8(input_shape, classes, width=width, dropout=dropout)
