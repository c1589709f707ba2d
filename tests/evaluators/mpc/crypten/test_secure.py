"""Every operation between two real processes: equal to plaintext, and its traffic as derived."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from evaluators.mpc.closed_forms import crypten, crypten_argmax

SHAPE = (4, 8, 8)
ELEMENTS = math.prod(SHAPE)
TOLERANCE = 1e-3


class Add(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + x.flatten(1).view(-1, *SHAPE)


class Shifted(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        thin = nn.functional.pad(x[:, 1:3, ::2, ::2], (0, 1, 0, 0, 1, 0))
        return torch.cat([thin, thin], dim=1)


def normed() -> nn.Module:
    norm = nn.BatchNorm2d(4)
    assert norm.running_mean is not None
    norm.running_mean.copy_(torch.tensor([0.1, -0.4, 2.0, 0.0]))
    return nn.Sequential(norm)


@pytest.fixture(scope="module")
def cases(planned: Callable[..., nn.Module], run_cases: Callable[..., Any]) -> Any:
    torch.manual_seed(0)
    relu = nn.Sequential(nn.ReLU())
    large = (16, 32, 32)
    networks: dict[str, tuple[nn.Module, tuple[int, ...]]] = {
        name: (planned(relu, name), SHAPE)
        for name in (
            "relu", "x2act", "poly1", "poly2", "poly3", "poly4",
            "relu/identity", "relu/x2act", "relu/poly2", "relu/poly4",
        )
    }  # fmt: skip
    networks |= {
        "relu6": (nn.Sequential(nn.ReLU6()), SHAPE),
        "conv": (nn.Sequential(nn.Conv2d(4, 6, 3, stride=2, padding=1)), SHAPE),
        "grouped conv": (nn.Sequential(nn.Conv2d(4, 8, 3, groups=4, dilation=2)), SHAPE),
        "linear": (nn.Sequential(nn.Flatten(), nn.Linear(ELEMENTS, 10)), SHAPE),
        "norm": (normed(), SHAPE),
        "max": (nn.Sequential(nn.MaxPool2d(2)), SHAPE),
        "padded max": (nn.Sequential(nn.MaxPool2d(3, 2, 1)), SHAPE),
        "avg": (nn.Sequential(nn.AvgPool2d(2)), SHAPE),
        "padded avg": (nn.Sequential(nn.AvgPool2d(3, 2, 1, count_include_pad=False)), SHAPE),
        "global avg": (nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()), SHAPE),
        "add": (Add(), SHAPE),
        "moves": (Shifted(), SHAPE),
        "large relu": (nn.Sequential(nn.ReLU()), large),
        "large x2act": (planned(relu, "x2act", large), large),
        "large max": (nn.Sequential(nn.MaxPool2d(2)), (4, 32, 32)),
    }
    return run_cases(networks)


@pytest.mark.crypten
def test_all_operations_give_what_plaintext_gives(cases: dict[str, Any]) -> None:
    errors = {name: case.error for name, case in cases.items()}
    assert {name: e for name, e in errors.items() if not e < TOLERANCE} == {}


@pytest.mark.crypten
@pytest.mark.parametrize(
    ("name", "count", "rounds"),
    [
        ("relu", 464 * ELEMENTS, 9),
        ("x2act", 16 * ELEMENTS, 1),
        ("poly1", 0, 0),
        ("poly2", 16 * ELEMENTS, 1),
        ("poly3", 48 * ELEMENTS, 2),
        ("poly4", 48 * ELEMENTS, 2),
        ("relu6", 2 * 464 * ELEMENTS, 9),
        ("conv", 16 * (ELEMENTS + 4 * 6 * 9), 1),
        ("grouped conv", 16 * (ELEMENTS + 8 * 9), 1),
        ("linear", 16 * (ELEMENTS + 10 * ELEMENTS), 1),
        ("norm", 16 * (ELEMENTS + 4), 1),
        ("max", 5920 * ELEMENTS / 4, 46),
        ("padded max", 13392 * 4 * 4 * 4, 57),
        ("avg", 0, 0),
        ("padded avg", 0, 0),
        ("global avg", 0, 0),
        ("add", 0, 0),
        ("moves", 0, 0),
        ("large relu", 464 * 16384, 9),
        ("large max", 5920 * 1024, 46),
    ],
)
def test_traffic_has_a_closed_form(
    cases: dict[str, Any], name: str, count: float, rounds: int
) -> None:
    assert cases[name].run.bytes == count
    assert cases[name].run.rounds == rounds


@pytest.mark.crypten
def test_the_cost_models_have_the_same_closed_forms(cases: dict[str, Any]) -> None:
    flows = crypten(64)
    relu, square = flows.operators["relu"], flows.operators["square"]
    assert cases["large relu"].run.bytes == relu.bytes.element * 16384
    assert cases["large relu"].run.rounds == relu.hops
    assert cases["large x2act"].run.bytes == square.bytes.element * 16384
    for name, window, outputs in (("large max", 4, 1024), ("padded max", 9, 64)):
        pool = crypten_argmax(64, window)
        assert cases[name].run.bytes == pool.bytes.output * outputs
        assert cases[name].run.rounds == pool.hops


@pytest.mark.crypten
@pytest.mark.parametrize("replacement", ["identity", "x2act", "poly2", "poly4"])
def test_a_mask_compares_once_and_only_what_it_keeps(
    cases: dict[str, Any], replacement: str
) -> None:
    case = cases[f"relu/{replacement}"]
    (step,) = case.program.steps
    kept = len(case.program.public[f"{step.output}:keep"])
    assert 0 < kept < ELEMENTS
    per_rest, more = {"identity": (0, 0), "x2act": (16, 1), "poly2": (16, 1), "poly4": (48, 2)}[
        replacement
    ]
    assert case.run.bytes == 464 * kept + per_rest * (ELEMENTS - kept)
    assert case.run.rounds == 9 + more


@pytest.mark.crypten
def test_the_kernel_counts_the_same_bytes(cases: dict[str, Any]) -> None:
    run = cases["large relu"].run
    assert run.wire_bytes is not None
    assert run.bytes <= run.wire_bytes <= 1.05 * run.bytes
