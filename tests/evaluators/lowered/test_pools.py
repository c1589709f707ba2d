from typing import Any

import pytest
import torch
from torch import nn

from evaluators.lowered.activations import Lowered
from evaluators.lowered.pools import lower_pool, windows
from search.api.errors import EvaluationError
from search.workloads.functional import GlobalAvgPool


def average(lowered: Lowered, x: torch.Tensor) -> torch.Tensor:
    """Reckoned slice by slice, as the attributes say."""
    a: Any = lowered.attributes
    rows, columns, divisors = a["rows"], a["columns"], a["divisors"]
    out = torch.stack([
        torch.stack([x[..., r0:r1, c0:c1].sum((-2, -1)) for c0, c1 in columns], dim=-1)
        for r0, r1 in rows
    ], dim=-2)  # fmt: skip
    out = out / (divisors if isinstance(divisors, int) else torch.tensor(divisors))
    return out.flatten(1) if a["squeeze"] else out


@pytest.mark.parametrize(
    "module",
    [
        nn.AvgPool2d(2),
        nn.AvgPool2d(3, 2, 1),
        nn.AvgPool2d(3, 2, 1, count_include_pad=False),
        nn.AvgPool2d(3, 2, ceil_mode=True),
        nn.AvgPool2d(3, 2, 1, ceil_mode=True),
        nn.AvgPool2d(3, 2, 1, ceil_mode=True, count_include_pad=False),
        nn.AvgPool2d((2, 3), (1, 2), divisor_override=5),
        nn.AdaptiveAvgPool2d((3, 2)),
        nn.AdaptiveAvgPool2d(1),
        GlobalAvgPool(),
        GlobalAvgPool(keepdim=True),
    ],
    ids=str,
)
@pytest.mark.parametrize("side", [(8, 8), (7, 10)])
def test_averages_are_those_of_torch(module: nn.Module, side: tuple[int, int]) -> None:
    x = torch.randn(2, 3, *side)
    lowered = lower_pool(module, (3, *side), "pool")
    assert lowered is not None
    torch.testing.assert_close(average(lowered, x), module(x))


@pytest.mark.parametrize("ceil", [False, True])
@pytest.mark.parametrize(
    ("size", "kernel", "stride", "padding"), [(7, 3, 2, 1), (8, 2, 2, 0), (6, 3, 3, 1)]
)
def test_windows_are_as_many_as_torch_has(
    size: int, kernel: int, stride: int, padding: int, ceil: bool
) -> None:
    pool = nn.MaxPool2d(kernel, stride, padding, ceil_mode=ceil)
    expected = pool(torch.randn(1, 1, size, size)).shape[-1]
    assert len(windows(size, kernel, stride, padding, ceil=ceil)) == expected


def test_even_adaptive_maximum_is_a_plain_one() -> None:
    lowered = lower_pool(nn.AdaptiveMaxPool2d(2), (3, 8, 6), "pool")
    assert lowered is not None
    assert lowered.attributes["kernel"] == (4, 3)


@pytest.mark.parametrize(
    ("module", "why"),
    [(nn.AdaptiveMaxPool2d(3), "unequal size"), (nn.MaxPool2d(2, dilation=2), "holes")],
    ids=str,
)
def test_unknown_maxima_name_the_site(module: nn.Module, why: str) -> None:
    with pytest.raises(EvaluationError, match=f"body.pool: .*{why}"):
        lower_pool(module, (3, 8, 8), "body.pool")


def test_knows_no_others() -> None:
    assert lower_pool(nn.ReLU(), (3, 8, 8), "x") is None
