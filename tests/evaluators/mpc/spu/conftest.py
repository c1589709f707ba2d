"""One real run under SPU for all tests that look at its result, since each costs seconds."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import fx, nn

from evaluators.mpc.spu.environment import VARIABLE, need_spu
from search.api.errors import MissingExtra
from search.workloads.canonical import canonicalise
from search.workloads.dapa import Polynomial
from search.workloads.masked import MaskedActivation
from search.workloads.operators import X2Act

SHAPE = (3, 8, 8)


@functools.cache
def _python() -> Path | str:
    """The interpreter the tests use, as the user has it; or why there is none."""
    try:
        return need_spu()
    except MissingExtra as error:
        return str(error)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs SPU where it is not installed."""
    marked = [item for item in items if item.get_closest_marker("spu")]
    if marked and isinstance(found := _python(), str):
        for item in marked:
            item.add_marker(pytest.mark.skip(reason=found))


@pytest.fixture(autouse=True)
def _found_though_the_cache_moves(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    if request.node.get_closest_marker("spu"):
        monkeypatch.setenv(VARIABLE, str(_python()))


def _polynomial(degree: int, channels: int) -> Polynomial:
    made = Polynomial(degree, channels)
    made.fit(torch.linspace(-0.2, 0.3, channels), torch.linspace(0.5, 1.5, channels))
    return made


class _Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(8, 8, 3, padding=1, groups=2)
        self.act = nn.ReLU()
        self.norm = nn.BatchNorm2d(8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(x + self.act(self.conv(x)))


def _every_operator() -> fx.GraphModule:
    """A small network with every operation that a candidate may have."""
    torch.manual_seed(0)
    plain = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), _Block(),
        nn.MaxPool2d(3, 2, 1), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 1),
        nn.ReLU(), nn.Conv2d(8, 4, 1), nn.ReLU(), nn.AvgPool2d(3, 2, 1), nn.ReLU6(),
        nn.AvgPool2d(2), nn.Flatten(), nn.Linear(4, 5),
    )  # fmt: skip
    graph = canonicalise(plain, SHAPE)
    masked = MaskedActivation(nn.ReLU(), _polynomial(2, 8), (8, 8, 8))
    masked.set_mask(torch.rand((8, 8, 8), generator=torch.Generator().manual_seed(1)) < 0.3)
    graph.set_submodule("2", masked)
    square = X2Act(128)
    square.w1.data.fill_(0.05)  # with its scale, a factor near 2^-8
    graph.set_submodule("6", square)
    graph.set_submodule("8", _polynomial(4, 8))
    graph.set_submodule("10", _polynomial(3, 4))
    return graph.eval()


@pytest.fixture(scope="session")
def every_operator() -> Callable[[], fx.GraphModule]:
    """``every_operator()``: a network for samples of shape (3, 8, 8)."""
    return _every_operator
