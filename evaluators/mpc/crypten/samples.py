"""Networks to calibrate with, and the times of their steps between two real processes."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping

import torch
from torch import fx, nn

from evaluators.lowered.lower import lower
from evaluators.mpc.calibration import Sample
from evaluators.mpc.crypten.run import run_many
from search.api.network import Site
from search.workloads.canonical import canonicalise, trace_sites
from search.workloads.dapa import Polynomial
from search.workloads.plan import apply_plan

# Channels and side of the first map: from 256 to 16,384 elements, as networks for small images
# have them. Larger maps are an extrapolation along the slope.
SIZES = (
    (4, 8), (16, 8), (32, 8), (4, 14), (8, 14), (16, 14), (24, 16), (4, 28), (16, 20), (8, 32),
    (16, 32),
)  # fmt: skip
_REPEATS = 7
_ACTIVATIONS = ("relu", "x2act", "relu", "poly1", "relu", "poly2", "relu", "poly3", "poly4")


def measure(
    *,
    sizes: tuple[tuple[int, int], ...] = SIZES,
    repeats: int = _REPEATS,
    timeout_s: float = 600.0,
    progress: Callable[[int, int], None] | None = None,
) -> list[Sample]:
    """Run one network per size and return its steps.

    Args:
        sizes: channels and side of the first map.
        repeats: timed inferences per network.
        timeout_s: seconds for all.
        progress: told how many networks of how many are done.

    Raises:
        MissingExtra: CrypTen is not installed.
        EvaluationError: a run failed.
    """
    activations = itertools.cycle(_ACTIVATIONS)
    jobs = []
    amounts: list[Mapping[str, Mapping[str, float]]] = []
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(0)
        for channels, side in sizes:
            shape = (channels, side, side)
            network = _network(channels, side, activations)
            program = lower(network, shape)
            amounts.append({site.name: _amounts(site) for site in trace_sites(network, shape)})
            jobs.append((program, torch.randn(1, *shape)))
    runs = run_many(
        jobs,
        repeats=repeats,
        timeout_s=timeout_s,
        progress=progress and (lambda done: progress(done, len(jobs))),
    )
    samples = []
    for number, ((program, _), run) in enumerate(zip(jobs, runs, strict=True)):
        for step, seen in zip(program.steps, run.sites, strict=True):
            work = amounts[number].get(step.site)
            if work is not None:
                samples.append(Sample(number, step.operator, work, seen.seconds))
    return samples


def _network(channels: int, side: int, activations: Iterator[str]) -> fx.GraphModule:
    """Convolutions of all kinds, activations, both pools, an addition and a norm alone."""
    wide = 2 * channels
    inner = nn.Sequential(
        nn.Conv2d(channels, channels, 3, padding=1, bias=False),
        nn.BatchNorm2d(channels),
        nn.ReLU(),
        nn.Conv2d(channels, channels, 1),
    )
    plain = nn.Sequential(
        nn.Conv2d(channels, channels, 3, padding=1),
        nn.ReLU(),
        _Shortcut(inner),
        nn.BatchNorm2d(channels),
        nn.MaxPool2d(2),
        nn.Conv2d(channels, wide, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(wide, wide, 3, padding=1),
        nn.ReLU(),
        nn.AvgPool2d(2),
        nn.Conv2d(wide, channels, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(channels, 10),
    )
    shape = (channels, side, side)
    network = canonicalise(plain, shape)
    sites = trace_sites(network, shape)
    free = [site.name for site in sites if site.kind == "activation"]
    apply_plan(network, {name: next(activations) for name in free}, sites)
    for module in network.modules():
        if isinstance(module, Polynomial):  # fitted ones normalise their inputs
            width = module.a.shape[1]
            module.fit(torch.full((width,), 0.1), torch.full((width,), 0.9))
    return network.eval()


class _Shortcut(nn.Module):
    """``x + inner(x)``."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Same shape."""
        out: torch.Tensor = x + self.inner(x)
        return out


def _amounts(site: Site) -> Mapping[str, float]:
    return {
        "call": 1.0,
        "element": float(site.elements),
        "output": float(site.outputs),
        "mac": float(site.macs),
        "weight": float(site.weights),
    }
