"""Real two-party runs for the tests: each pair of processes costs seconds, so they are shared."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import fx, nn

from evaluators.lowered.lower import lower
from evaluators.lowered.program import Program
from evaluators.mpc.crypten.run import TwoPartyRun, run_many
from evaluators.mpc.crypten.shim import INSTALL, installed
from search.workloads.canonical import canonicalise, trace_sites
from search.workloads.dapa import Polynomial
from search.workloads.masked import MaskedActivation
from search.workloads.plan import apply_plan

SHAPE = (4, 8, 8)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs CrypTen where it is not installed."""
    if installed():
        return
    absent = pytest.mark.skip(reason=f"CrypTen is not installed ({INSTALL})")
    for item in items:
        if item.get_closest_marker("crypten"):
            item.add_marker(absent)


def _planned(network: nn.Module, operator: str, shape: tuple[int, ...] = SHAPE) -> fx.GraphModule:
    """``network`` in canonical form with ``operator`` at every activation, masks half full."""
    graph = canonicalise(network, shape)
    sites = trace_sites(graph, shape)
    free = [site.name for site in sites if site.kind == "activation"]
    apply_plan(graph, dict.fromkeys(free, operator), sites)
    generator = torch.Generator().manual_seed(1)
    for module in graph.modules():
        if isinstance(module, Polynomial):
            channels = module.a.shape[1]
            mean = 0.3 * torch.randn(channels, generator=generator)
            module.fit(mean, 0.5 + torch.rand(channels, generator=generator))
        if isinstance(module, MaskedActivation):
            own = module.get_buffer("mask")
            module.set_mask(torch.rand(own.shape, generator=generator) < 0.3)
    return graph.eval()


@dataclass
class Case:
    """A network that was run both ways on the same inputs."""

    network: nn.Module
    program: Program
    inputs: torch.Tensor
    run: TwoPartyRun

    @property
    def error(self) -> float:
        """Largest difference between secure and plain outputs."""
        with torch.inference_mode():
            return float((self.run.outputs - self.network(self.inputs)).abs().max())


def _run_cases(
    networks: dict[str, tuple[nn.Module, tuple[int, ...]]], n: int = 3
) -> dict[str, Case]:
    """Run all ``networks`` (name -> network and input shape) with one pair of processes."""
    generator = torch.Generator().manual_seed(0)
    made = []
    for network, shape in networks.values():
        network.eval()
        inputs = torch.randn(n, *shape, generator=generator)
        made.append((network, lower(network, shape), inputs))
    runs = run_many([(program, x) for _, program, x in made], repeats=2, timeout_s=120)
    return {
        name: Case(network, program, x, run)
        for name, (network, program, x), run in zip(networks, made, runs, strict=True)
    }


@pytest.fixture(scope="session")
def planned() -> Callable[..., fx.GraphModule]:
    """``planned(network, operator, shape)``."""
    return _planned


@pytest.fixture(scope="session")
def run_cases() -> Callable[..., dict[str, Case]]:
    """``run_cases(networks, n)``."""
    return _run_cases
