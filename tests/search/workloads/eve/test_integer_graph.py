from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from search.api.errors import EvaluationError
from search.workloads.canonical import canonicalise
from search.workloads.eve.integer_graph import steps_of


def steps(*modules: nn.Module, shape: tuple[int, ...] = (2, 8, 8)) -> list[Any]:
    return list(steps_of(canonicalise(nn.Sequential(*modules), shape), shape))


def test_a_chain_in_order_with_its_geometry() -> None:
    found = steps(
        nn.Conv2d(2, 4, (3, 5), stride=(2, 1), padding=(1, 2)), nn.ReLU(), nn.Dropout(),
        nn.MaxPool2d(2, ceil_mode=True), nn.AvgPool2d(2, count_include_pad=False), nn.Flatten(),
        nn.Linear(8, 3),
    )  # fmt: skip
    assert [s.operator for s in found] == [
        "conv", "relu", "maxpool", "avgpool", "flatten", "linear",
    ]  # fmt: skip
    conv, _, pool, average, _, linear = found
    assert (conv.site, conv.kernel, conv.stride, conv.padding) == ("0", (3, 5), (2, 1), (1, 2))
    assert (conv.input_shape, conv.output_shape) == ((2, 8, 8), (4, 4, 8))
    assert (pool.kernel, pool.stride, pool.ceil) == ((2, 2), (2, 2), True)
    assert not average.count_padding
    assert (linear.site, linear.output_shape) == ("6", (3,))


def test_pools_by_size_are_windows() -> None:
    found = steps(nn.AdaptiveMaxPool2d(4), nn.AdaptiveAvgPool2d((2, 1)))
    assert [(s.operator, s.kernel, s.stride) for s in found] == [
        ("maxpool", (2, 2), (2, 2)), ("avgpool", (2, 4), (2, 4)),
    ]  # fmt: skip


def test_same_padding_of_an_odd_kernel() -> None:
    (found,) = steps(nn.Conv2d(2, 2, (3, 5), padding="same"))
    assert found.padding == (1, 2)


def test_the_network_keeps_its_mode() -> None:
    network = canonicalise(nn.Sequential(nn.Linear(3, 2)), (3,))
    assert network.training
    steps_of(network, (3,))
    assert network.training


class Flattens(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(128, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(torch.flatten(x, 1))


class Adds(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 2, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x) + x


class Twice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 2, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(self.conv(x))


def test_flatten_by_function() -> None:
    found = steps_of(canonicalise(Flattens(), (2, 8, 8)), (2, 8, 8))
    assert [s.operator for s in found] == ["flatten", "linear"]


@pytest.mark.filterwarnings("ignore:Using padding='same':UserWarning")
@pytest.mark.parametrize(
    ("module", "words"),
    [
        (nn.BatchNorm2d(2), "0: batch normalisation .* Fold it"),
        (nn.Sigmoid(), "Sigmoid has no integer form"),
        (nn.ReLU6(), "ReLU6 has no integer form"),
        (nn.Conv2d(2, 2, 3, groups=2), "groups=2"),
        (nn.Conv2d(2, 2, 3, dilation=2), r"dilation=\(2, 2\)"),
        (nn.Conv2d(2, 2, 3, padding_mode="reflect"), "padding of reflect"),
        (nn.Conv2d(2, 2, 2, padding="same"), "uneven"),
        (nn.AvgPool2d(3, ceil_mode=True), "ceil_mode"),
        (nn.AdaptiveAvgPool2d(3), "unequal size"),
        (nn.MaxPool2d(2, dilation=2), "holes"),
        (nn.Linear(8, 2), "on 3 axes"),
        (Adds(), "add.*(reads something else|no integer form)"),
        (Twice(), "conv: is called twice"),
    ],
)
def test_whatever_else_is_refused_by_name(module: nn.Module, words: str) -> None:
    with pytest.raises(EvaluationError, match=words):
        steps(module)
