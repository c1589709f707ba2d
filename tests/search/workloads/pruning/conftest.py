"""Networks with zeros and with batch norms that have seen something."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import fx, nn

from search.workloads.canonical import canonicalise

Shape = tuple[int, ...]


def lively(module: nn.Module, shape: Shape, seed: int = 0) -> fx.GraphModule:
    """Canonical, in evaluation mode, with statistics, scales and biases that are not trivial."""
    network = canonicalise(module, shape).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for child in network.modules():
            if isinstance(child, nn.BatchNorm1d | nn.BatchNorm2d):
                for value, low, high in (
                    (child.running_mean, -0.5, 0.5), (child.running_var, 0.5, 2.0),
                    (child.weight, 0.5, 1.5), (child.bias, -0.5, 0.5),
                ):  # fmt: skip
                    value.copy_(torch.empty_like(value).uniform_(low, high, generator=generator))
    return network


def prune(network: fx.GraphModule, share: float, seed: int = 0) -> fx.GraphModule:
    """Zero a share of the filters and of the input channels of each layer, the last one's filters
    left out; at least one of each stays."""
    generator = torch.Generator().manual_seed(seed)
    layers = [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    with torch.no_grad():
        for layer in layers:
            for axis in (0, 1):
                n = layer.weight.shape[axis]
                if n == 1 or (axis == 0 and layer is layers[-1]):
                    continue
                gone = torch.randperm(n, generator=generator)[: min(n - 1, int(share * n))]
                layer.weight.index_fill_(axis, gone, 0.0)
    return network


@pytest.fixture
def made() -> Callable[..., fx.GraphModule]:
    """Makes a pruned network of a module and a shape."""

    def make(module: nn.Module, shape: Shape, share: float = 0.4, seed: int = 0) -> fx.GraphModule:
        return prune(lively(module, shape, seed), share, seed)

    return make


@pytest.fixture
def difference() -> Callable[..., float]:
    """Largest difference of two networks' outputs on random inputs."""

    def reckon(one: Any, other: Any, shape: Shape) -> float:
        x = torch.randn(5, *shape, generator=torch.Generator().manual_seed(9))
        with torch.no_grad():
            return float((one(x) - other(x)).abs().max())

    return reckon
