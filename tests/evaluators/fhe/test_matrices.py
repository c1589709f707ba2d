from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from evaluators.fhe.matrices import (
    average,
    convolution,
    diagonal,
    identity,
    joined,
    padded,
    selection,
    slices,
)
from evaluators.lowered.pools import lower_pool

SHAPE = (4, 7, 6)


def applied(matrix: Any, x: torch.Tensor) -> torch.Tensor:
    return torch.from_numpy((matrix @ x.reshape(len(x), -1).numpy().T).T)


@pytest.mark.parametrize(
    "module",
    [
        nn.Conv2d(4, 3, 3),
        nn.Conv2d(4, 6, 5, stride=2, padding=2),
        nn.Conv2d(4, 8, 3, padding=1, groups=4),
        nn.Conv2d(4, 4, (3, 2), stride=(1, 2), padding=(0, 1), groups=2),
        nn.Conv2d(4, 2, 3, dilation=2, padding=2),
    ],
    ids=str,
)
def test_convolutions_are_those_of_torch(module: nn.Conv2d) -> None:
    module.double()
    x = torch.randn(2, *SHAPE, dtype=torch.float64)
    matrix = convolution(
        module.weight.detach().numpy(),
        SHAPE,
        {
            "stride": module.stride, "padding": module.padding,
            "dilation": module.dilation, "groups": module.groups,
        },
    )  # fmt: skip
    assert module.bias is not None
    expected = (module(x) - module.bias.view(-1, 1, 1)).flatten(1).detach()
    torch.testing.assert_close(applied(matrix, x), expected)


def test_zero_weights_are_no_entries() -> None:
    weight = np.ones((1, 4, 3, 3))
    weight[0, 1:] = 0.0
    options = {"stride": (1, 1), "padding": (0, 0), "dilation": (1, 1), "groups": 1}
    assert convolution(weight, SHAPE, options).nnz == 5 * 4 * 9


@pytest.mark.parametrize(
    "module",
    [nn.AvgPool2d(3, 2, 1), nn.AdaptiveAvgPool2d((3, 2)), nn.AdaptiveAvgPool2d(1)],
    ids=str,
)
def test_averages(module: nn.Module) -> None:
    lowered = lower_pool(module, SHAPE, "pool")
    assert lowered is not None
    x = torch.randn(2, *SHAPE, dtype=torch.float64)
    torch.testing.assert_close(applied(average(SHAPE, lowered.attributes), x), module(x).flatten(1))


@pytest.mark.parametrize("sides", [(1, 2), (1, 0, 2, 1), (0, 0, 0, 0, 2, 2), (-1, 1, 0, -2)])
def test_padding(sides: tuple[int, ...]) -> None:
    x = torch.randn(2, *SHAPE, dtype=torch.float64)
    torch.testing.assert_close(applied(padded(SHAPE, sides), x), F.pad(x, sides).flatten(1))


def test_slices() -> None:
    x = torch.randn(2, *SHAPE, dtype=torch.float64)
    found = applied(slices(SHAPE, [(1, None, None), (None, None, 2)]), x)
    torch.testing.assert_close(found, x[:, 1:, ::2].flatten(1))


@pytest.mark.parametrize("axis", [0, 2, -3])
def test_a_concatenation_is_a_sum(axis: int) -> None:
    shapes = [(4, 7, 6), (4, 7, 6)]
    a, b = (torch.randn(2, *SHAPE, dtype=torch.float64) for _ in range(2))
    first, second = joined(shapes, axis)
    along = axis if axis < 0 else axis + 1
    torch.testing.assert_close(
        applied(first, a) + applied(second, b), torch.cat([a, b], along).flatten(1)
    )


def test_small_ones() -> None:
    assert (identity(3).toarray() == np.eye(3)).all()
    assert (diagonal(np.array([1.0, 0.0])).toarray() == [[1.0, 0.0], [0.0, 0.0]]).all()
    assert (selection(np.array([1, -1]), 2).toarray() == [[0.0, 1.0], [0.0, 0.0]]).all()
