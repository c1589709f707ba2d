"""Wide residual networks, whose blocks normalise and activate before they convolve.

Source: Zagoruyko and Komodakis, Wide Residual Networks (BMVC 2016), table 1.
"""

from __future__ import annotations

from torch import Tensor, nn

from search.workloads.networks.options import at_least
from search.workloads.networks.stem import he_initialised


def wrn22_8(
    input_shape: tuple[int, int, int], classes: int, *, width: int = 8, dropout: float = 0.0
) -> nn.Module:
    """WRN-22-8: three groups of three blocks with 16w, 32w, 64w channels.

    Args:
        input_shape: ``(C, H, W)``.
        classes: number of classes.
        width: the widening factor; 8 gives 1,392,640 ReLUs at 32x32.
        dropout: probability between the two convolutions of a block.
    """
    at_least("wrn22_8", "width", width, 1)
    return he_initialised(_WideResNet(input_shape[0], classes, width, dropout))


class _PreActivation(nn.Module):
    """Norm, ReLU, 3x3 convolution, twice; the projection starts behind the first ReLU."""

    def __init__(self, before: int, after: int, stride: int, dropout: float) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(before)
        self.relu1 = nn.ReLU()
        self.conv1 = nn.Conv2d(before, after, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(after)
        self.relu2 = nn.ReLU()
        self.dropout = nn.Dropout(dropout)
        self.conv2 = nn.Conv2d(after, after, 3, 1, 1, bias=False)
        self.projected = before != after or stride != 1
        if self.projected:
            self.shortcut = nn.Conv2d(before, after, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """``[n, before, H, W]`` to ``[n, after, H / stride, W / stride]``."""
        active = self.relu1(self.bn1(x))
        y = self.dropout(self.relu2(self.bn2(self.conv1(active))))
        y = self.conv2(y)
        out: Tensor = y + (self.shortcut(active) if self.projected else x)
        return out


class _WideResNet(nn.Module):
    def __init__(self, channels: int, classes: int, width: int, dropout: float) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, 16, 3, 1, 1, bias=False)
        before = 16
        self.groups = nn.Sequential()
        for number, (base, stride) in enumerate(((16, 1), (32, 2), (64, 2)), start=1):
            group = nn.Sequential()
            for block in range(3):
                step = stride if block == 0 else 1
                group.append(_PreActivation(before, base * width, step, dropout))
                before = base * width
            self.groups.add_module(f"group{number}", group)
        self.bn = nn.BatchNorm2d(before)
        self.relu = nn.ReLU()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.classifier = nn.Linear(before, classes)

    def forward(self, x: Tensor) -> Tensor:
        """``[n, C, H, W]`` to logits ``[n, classes]``."""
        x = self.relu(self.bn(self.groups(self.conv(x))))
        logits: Tensor = self.classifier(self.flatten(self.pool(x)))
        return logits
