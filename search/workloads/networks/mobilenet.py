"""MobileNetV2.

Source: Sandler et al., MobileNetV2 (CVPR 2018), table 2.
"""

from __future__ import annotations

from torch import Tensor, nn

from search.workloads.networks.options import at_least
from search.workloads.networks.stem import Stem, he_initialised, stem_for

# Expansion, channels, blocks, stride of the first block.
_STAGES = (
    (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2),
    (6, 320, 1, 1),
)  # fmt: skip


def mobilenet_v2(
    input_shape: tuple[int, int, int],
    classes: int,
    *,
    width: float = 1.0,
    stem: Stem | None = None,
    dropout: float = 0.2,
) -> nn.Module:
    """MobileNetV2: inverted residual blocks. Its ReLU6 counts as ``relu`` and keeps its cap.

    Args:
        input_shape: ``(C, H, W)``.
        classes: number of classes.
        width: multiplier of the channels, rounded to multiples of 8.
        stem: ``imagenet``: the paper's strides; ``cifar``: none in the stem and the second stage.
            By default the first where the image has 128 or more pixels a side.
        dropout: probability before the classifier.
    """
    at_least("mobilenet_v2", "width", width, 0.05)
    small = stem_for(input_shape, stem) == "cifar"
    before = _channels(32, width)
    features = nn.Sequential()
    features.add_module("stem", _conv(input_shape[0], before, 3, 1 if small else 2))
    for number, (expansion, base, blocks, stride) in enumerate(_STAGES, start=1):
        stage = nn.Sequential()
        for block in range(blocks):
            first = 1 if small and number == 2 else stride
            step = first if block == 0 else 1
            after = _channels(base, width)
            stage.append(_InvertedResidual(before, after, step, expansion))
            before = after
        features.add_module(f"stage{number}", stage)
    last = _channels(1280, max(1.0, width))
    features.add_module("head", _conv(before, last, 1, 1))
    features.add_module("pool", nn.AdaptiveAvgPool2d(1))
    features.add_module("flatten", nn.Flatten())
    features.add_module("dropout", nn.Dropout(dropout))
    features.add_module("classifier", nn.Linear(last, classes))
    return he_initialised(features)


class _InvertedResidual(nn.Module):
    """Expand by 1x1, filter each channel by 3x3, project by 1x1 without activation."""

    def __init__(self, before: int, after: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = before * expansion
        self.adds = stride == 1 and before == after
        self.expand = nn.Identity() if expansion == 1 else _conv(before, inner, 1, 1)
        self.depthwise = _conv(inner, inner, 3, stride, groups=inner)
        self.project = nn.Conv2d(inner, after, 1, bias=False)
        self.bn = nn.BatchNorm2d(after)

    def forward(self, x: Tensor) -> Tensor:
        """``[n, before, H, W]`` to ``[n, after, H / stride, W / stride]``."""
        y: Tensor = self.bn(self.project(self.depthwise(self.expand(x))))
        return x + y if self.adds else y


def _conv(before: int, after: int, kernel: int, stride: int, *, groups: int = 1) -> nn.Sequential:
    block = nn.Sequential()
    padding = (kernel - 1) // 2
    block.add_module(
        "conv", nn.Conv2d(before, after, kernel, stride, padding, groups=groups, bias=False)
    )
    block.add_module("bn", nn.BatchNorm2d(after))
    block.add_module("relu", nn.ReLU6())
    return block


def _channels(base: int, width: float) -> int:
    """``base * width`` to the nearest multiple of 8, but never more than 10 % below it."""
    wanted = base * width
    rounded = max(8, int(wanted + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * wanted else rounded
