"""Do the cost models tell what a real two-party run takes? CrypTen between two processes.

Layer plans and pixel plans of several networks: predicted against counted bytes and rounds, and
predicted against measured loopback latency after a calibration of this host. Prints one JSON line
per plan and one of all: bytes within 2 % and latency within 20 % (median over plans) are wanted.
``order`` is Kendall's tau of predicted and measured latency over all plans, ``kernel`` the bytes
that the kernel counted over those that CrypTen counted.

Run it on a quiet machine with two free cores: ``python benchmarks/crypten_prediction.py``;
``--smoke`` takes a minute and proves only that it works.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from evaluators.lowered.lower import lower
from evaluators.mpc.calibration import fit, spread, write
from evaluators.mpc.cost_2pc import Cost2PC
from evaluators.mpc.crypten.run import TwoPartyRun, run_many
from evaluators.mpc.crypten.samples import SIZES, measure
from search.api.network import Site
from search.workloads.canonical import canonicalise
from search.workloads.dapa import Polynomial
from search.workloads.masked import MaskedActivation, mask_digest
from search.workloads.networks.resnet import resnet20, resnet_mini
from search.workloads.networks.small import lenet5
from search.workloads.plan import apply_plan
from search.workloads.sites import trace_sites
from spaces.plan import ArtefactRef, NonlinearityPlan, SiteChoice

NETWORKS = {
    "resnet_mini": (lambda shape: resnet_mini(shape, 10), (1, 14, 14)),
    "lenet5": (lambda shape: lenet5(shape, 10), (1, 28, 28)),
    "resnet20": (lambda shape: resnet20(shape, 10, width=8), (3, 16, 16)),
}

# Network, activations in turn, pools, share of pixels a mask keeps.
PLANS = (
    ("resnet_mini", ("relu",), "max", 0.0),
    ("resnet_mini", ("x2act",), "avg", 0.0),
    ("resnet_mini", ("relu", "x2act"), "avg", 0.0),
    ("resnet_mini", ("relu", "x2act", "x2act", "identity"), "max", 0.0),
    ("resnet_mini", ("relu/poly2",), "avg", 0.05),
    ("resnet_mini", ("relu/identity",), "max", 0.4),
    ("resnet_mini", ("relu/poly2", "x2act", "poly4"), "avg", 0.2),
    ("lenet5", ("relu",), "max", 0.0),
    ("lenet5", ("poly2", "relu"), "avg", 0.0),
    ("lenet5", ("relu/x2act",), "avg", 0.1),
    ("resnet20", ("relu",), "max", 0.0),
    ("resnet20", ("relu/poly1",), "max", 0.1),
    ("resnet20", ("x2act", "x2act", "relu"), "max", 0.0),
)
SMOKE = (PLANS[2], PLANS[5], PLANS[9])

WANTED_BYTES, WANTED_LATENCY = 0.02, 0.20


@dataclass(frozen=True)
class Planned:
    """A network under a plan."""

    name: str
    network: nn.Module
    shape: tuple[int, int, int]
    sites: tuple[Site, ...]
    plan: NonlinearityPlan


def planned(entry: tuple[str, tuple[str, ...], str, float], seed: int) -> Planned:
    name, activations, pool, share = entry
    build, shape = NETWORKS[name]
    torch.manual_seed(seed)
    network = canonicalise(build(shape), shape)
    sites = trace_sites(network, shape)
    names = [site.name for site in sites if site.kind == "activation"]
    chosen = {site: activations[i % len(activations)] for i, site in enumerate(names)}
    chosen |= {site.name: pool for site in sites if site.kind == "pool"}
    apply_plan(network, chosen, sites)
    choices = tuple(choice(network, site, operator, share) for site, operator in chosen.items())
    settle(network, shape)
    kept = f" {share:.0%}" if share else ""
    title = f"{name}: {', '.join(activations)}{kept}; {pool}"
    return Planned(title, network.eval(), shape, sites, NonlinearityPlan(choices))


def settle(network: nn.Module, shape: tuple[int, int, int]) -> None:
    """Fit norms and polynomials to what they see, as training would: values stay of size one."""
    for norm in network.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.momentum = None  # plain averages
    hooks = [
        module.register_forward_pre_hook(fit_to_inputs)
        for module in network.modules()
        if isinstance(module, Polynomial)
    ]
    network.train()
    with torch.no_grad():
        for _ in range(4):
            network(torch.randn(64, *shape))
    network.eval()
    for hook in hooks:
        hook.remove()


def fit_to_inputs(module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
    axes = [axis for axis in range(inputs[0].dim()) if axis != 1]
    assert isinstance(module, Polynomial)
    module.fit(inputs[0].mean(axes), inputs[0].std(axes))


def choice(network: nn.Module, site: str, operator: str, share: float) -> SiteChoice:
    module = network.get_submodule(site)
    if not isinstance(module, MaskedActivation):
        return SiteChoice(site, operator)
    mask = module.get_buffer("mask")
    kept = max(1, round(share * mask.numel()))
    order = torch.randperm(mask.numel())
    module.set_mask((order < kept).view(mask.shape))
    reference = ArtefactRef("mask", mask_digest(module.get_buffer("mask")))
    return SiteChoice(site, operator, (reference,), kept=kept)


def predictions(case: Planned, calibration: Path) -> dict[str, float]:
    """Milliseconds, megabytes and rounds by the model that uses this host's times."""
    models = Cost2PC(
        case.sites, protocol="crypten", network="loopback", calibration=str(calibration)
    ).cost_models()
    usage = case.plan.usage(case.sites)
    return {
        name: float(models[name].cost(usage)) for name in ("latency_2pc", "bytes_2pc", "rounds_2pc")
    }


def lines(
    cases: list[Planned], runs: list[TwoPartyRun], inputs: list[torch.Tensor], calibration: Path
) -> Iterator[dict[str, object]]:
    for case, run, x in zip(cases, runs, inputs, strict=True):
        model = predictions(case, calibration)
        with torch.inference_mode():
            plain = case.network(x)
        yield {
            "case": case.name,
            "bytes_MB": round(run.bytes / 1e6, 4),
            "bytes_model_MB": round(model["bytes_2pc"], 4),
            "bytes_off": round(model["bytes_2pc"] * 1e6 / run.bytes - 1, 5),
            "rounds": run.rounds,
            "rounds_model": round(model["rounds_2pc"], 2),
            "latency_ms": round(1e3 * run.seconds, 2),
            "latency_model_ms": round(model["latency_2pc"], 2),
            "latency_off": round(model["latency_2pc"] / (1e3 * run.seconds) - 1, 4),
            "kernel": None if run.wire_bytes is None else round(run.wire_bytes / run.bytes, 4),
            "output_error": float((run.outputs - plain).abs().max()),
            "output_size": round(float(plain.abs().max()), 3),
            "evidence": "measured",
        }


def kendall(pairs: list[tuple[float, float]]) -> float:
    """Kendall's tau-a: pairs in the same order less pairs in another, as a share."""
    signs = [
        (1 if (a - c) * (b - d) > 0 else -1)
        for i, (a, b) in enumerate(pairs)
        for c, d in pairs[:i]
        if a != c and b != d
    ]
    return sum(signs) / len(signs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="three plans, few repetitions")
    parser.add_argument("--repeats", type=int, default=11)
    options = parser.parse_args()
    torch.set_num_threads(1)
    chosen, repeats = (SMOKE, 2) if options.smoke else (PLANS, options.repeats)
    load = os.getloadavg()[0]
    cases = [planned(entry, seed) for seed, entry in enumerate(chosen)]
    inputs = [torch.randn(2, *case.shape) for case in cases]
    with tempfile.TemporaryDirectory() as folder:
        samples = measure(sizes=SIZES[:3], repeats=2) if options.smoke else measure()
        rates = fit(samples)
        calibration = write("crypten", rates, samples, Path(folder) / "2pc-crypten.json")
        jobs = [(lower(c.network, c.shape), x) for c, x in zip(cases, inputs, strict=True)]
        runs = run_many(jobs, repeats=repeats, timeout_s=900)
        found = list(lines(cases, runs, inputs, calibration))
    for line in found:
        print(json.dumps(line), flush=True)
    off = {key: statistics.median(abs(line[key]) for line in found)  # type: ignore[arg-type]
           for key in ("bytes_off", "latency_off")}  # fmt: skip
    pairs = [(line["latency_model_ms"], line["latency_ms"]) for line in found]
    summary = {
        "case": "all", "plans": len(found),
        "bytes_off_most": max(abs(line["bytes_off"]) for line in found),  # type: ignore[arg-type]
        "rounds_equal": all(line["rounds"] == line["rounds_model"] for line in found),
        "latency_off_median": off["latency_off"],
        "latency_off_most": max(abs(line["latency_off"]) for line in found),  # type: ignore[arg-type]
        "order": round(kendall(pairs), 3),  # type: ignore[arg-type]
        "output_error_most": max(line["output_error"] for line in found),  # type: ignore[type-var]
        "calibration_spread": round(spread(samples, rates), 4),
        "wanted": {"bytes": WANTED_BYTES, "latency": WANTED_LATENCY, "order": 0.8},
        "evidence": "measured", "python": platform.python_version(), "torch": torch.__version__,
        "cores": os.cpu_count(), "load": [round(load, 2), round(os.getloadavg()[0], 2)],
    }  # fmt: skip
    print(json.dumps(summary), flush=True)


if __name__ == "__main__":
    main()
