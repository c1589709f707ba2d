import operator

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from search.workloads.functional import GlobalAvgPool, inplace_twin, module_for


class Once(nn.Module):
    def __init__(self, call: object) -> None:
        super().__init__()
        self.call = call

    def forward(self, x: Tensor) -> Tensor:
        return self.call(x)  # type: ignore[no-any-return, operator]


CALLS = [
    lambda x: F.relu(x),
    lambda x: F.relu(x, inplace=True),
    lambda x: torch.relu_(x),
    lambda x: x.relu_(),
    lambda x: F.relu6(x),
    lambda x: F.leaky_relu(x, 0.2),
    lambda x: F.elu(x, alpha=0.5),
    lambda x: F.celu(x, 0.7),
    lambda x: F.selu(x),
    lambda x: F.gelu(x, approximate="tanh"),
    lambda x: F.silu(x),
    lambda x: F.mish(x),
    lambda x: F.hardswish(x),
    lambda x: F.hardtanh(x, -0.5, 0.5),
    lambda x: F.softplus(x, 2.0),
    lambda x: torch.tanh(x),
    lambda x: x.tanh(),
    lambda x: F.max_pool2d(x, 3, 2, 1),
    lambda x: F.max_pool2d(x, (2, 3), ceil_mode=True),
    lambda x: torch.max_pool2d(x, 2, 2, 0, 1, True),
    lambda x: F.avg_pool2d(x, 3, 2, 1, False, False),
    lambda x: F.adaptive_avg_pool2d(x, (2, 3)),
    lambda x: F.adaptive_max_pool2d(x, 2),
    lambda x: x.mean((2, 3)),
    lambda x: torch.mean(x, dim=[-1, -2], keepdim=True),
    lambda x: x.clamp(min=0),
    lambda x: torch.clamp(x, 0, 6),
    lambda x: F.relu(input=x),
    lambda x: x * x,
    lambda x: x**2,
    lambda x: torch.square(x),
    lambda x: x.pow(2),
]


def the_call(function: object) -> fx.Node:
    graph = fx.symbolic_trace(Once(function)).graph
    return next(n for n in graph.nodes if n.op in ("call_function", "call_method"))


@pytest.mark.parametrize("call", CALLS, ids=range(len(CALLS)))
def test_the_module_does_what_the_call_does(call: object) -> None:
    made = module_for(the_call(call))
    assert made is not None
    x = 3 * torch.randn(2, 3, 7, 7)
    expected = call(x.clone())  # type: ignore[operator]
    torch.testing.assert_close(made[1](x), expected, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("call", "inplace"),
    [
        (lambda x: F.relu(x, True), True),
        (lambda x: x.relu_(), True),
        (lambda x: x.relu(), False),
    ],
)
def test_in_place_calls_are_told(call: object, inplace: bool) -> None:
    made = module_for(the_call(call))
    assert made is not None
    assert made[2] is inplace
    assert not getattr(made[1], "inplace", False)


@pytest.mark.parametrize(
    "call",
    [
        lambda x: x.mean(1),
        lambda x: x.mean(),
        lambda x: x.clamp(-1, 1),
        lambda x: x * 2,
        lambda x: x**3,
        lambda x: F.dropout(x, 0.5, True),
        lambda x: x.flatten(1),
        lambda x: torch.sigmoid(x),
        lambda x: F.max_pool2d(x, 2, return_indices=True),
    ],
)
def test_other_calls_stay_functions(call: object) -> None:
    assert module_for(the_call(call)) is None


def test_dropout_that_only_trains_becomes_a_module() -> None:
    made = module_for(the_call(lambda x: F.dropout2d(x, 0.3, training=False)))
    assert made is not None
    assert isinstance(made[1], nn.Dropout2d)
    assert made[1].p == 0.3


def test_global_average_pool() -> None:
    x = torch.randn(2, 3, 4, 4)
    assert GlobalAvgPool()(x).shape == (2, 3)
    assert GlobalAvgPool(keepdim=True)(x).shape == (2, 3, 1, 1)


def test_in_place_operators_have_twins() -> None:
    assert inplace_twin(operator.iadd) is operator.add
    assert inplace_twin(operator.add) is None
