"""Throughput of the two-party cost models: many layer-level plans at once, and one pixel plan.

ResNet-18 for 32 x 32 images; all metrics of a protocol are computed, work included: shares become
amounts, amounts become costs. One thread. Prints one JSON line per case: plans per second (at least
100,000 wanted) and milliseconds per plan (below 1 wanted), as medians over repetitions of CPU time,
since the claims are per core; ``wall`` is the same by the clock, which a busy host stretches.

Run: ``python benchmarks/cost_models.py [--smoke] [--protocols crypten ...]``.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import statistics
import time
from collections.abc import Callable

import numpy as np

from evaluators.mpc.cost_2pc import Cost2PC
from search.api.network import Site
from search.workloads.canonical import canonicalise
from search.workloads.networks.resnet import resnet18
from search.workloads.sites import trace_sites
from spaces.relu import ArtefactRef, NonlinearityPlan, ReluPlacement, SiteChoice

SHAPE = (3, 32, 32)
BATCH = 4096  # arrays that stay in the cache of one core
WANTED_PLANS_PER_S = 100_000
WANTED_MS = 1.0


def layer_plans(space: ReluPlacement, evaluator: Cost2PC, plans: int) -> np.ndarray:
    """Costs ``[plans, metrics]`` of random layer-level plans."""
    models = list(evaluator.cost_models().values())
    rng = np.random.default_rng(0)
    costs = np.empty((plans, len(models)))
    for start in range(0, plans, BATCH):
        kept = rng.random((min(BATCH, plans - start), len(space.options))) < 0.5
        shares = {}
        for column, (site, (cheap, dear)) in enumerate(space.options.items()):
            one = kept[:, column].astype(float)
            shares[site] = {cheap: 1.0 - one, dear: one}
        usage = space.relaxed_usage(shares)
        for k, model in enumerate(models):
            costs[start : start + BATCH, k] = model.cost(usage)
    return costs


def pixel_plan(space: ReluPlacement) -> NonlinearityPlan:
    """A plan that keeps a twentieth of the ReLUs of every layer."""
    digest = hashlib.sha256(b"mask").hexdigest()
    sites = {site.name: site for site in space.sites}
    return NonlinearityPlan(
        tuple(
            SiteChoice(
                name, "relu/poly2", (ArtefactRef("mask", digest),), sites[name].elements // 20
            )
            for name in space.options
        )
    )


def cost_of_plan(plan: NonlinearityPlan, sites: tuple[Site, ...], evaluator: Cost2PC) -> None:
    usage = plan.usage(sites)
    for model in evaluator.cost_models().values():
        model.cost(usage)


def repeated(run: Callable[[], object], times: int) -> tuple[float, float]:
    """Median CPU seconds and median wall-clock seconds of ``run``."""
    spent, passed = [], []
    for _ in range(times):
        wall, cpu = time.perf_counter(), time.process_time()
        run()
        passed.append(time.perf_counter() - wall)
        spent.append(time.process_time() - cpu)
    return statistics.median(spent), statistics.median(passed)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="a few plans, once")
    parser.add_argument("--protocols", nargs="*", default=["pasnet_fpga", "crypten", "semi2k"])
    options = parser.parse_args()
    plans, singles, times = (4096, 20, 1) if options.smoke else (200_000, 300, 5)
    sites = trace_sites(canonicalise(resnet18(SHAPE, 10), SHAPE), SHAPE)
    space = ReluPlacement(sites)
    pixels = pixel_plan(space)
    for protocol in options.protocols:
        evaluator = Cost2PC(sites, protocol=protocol, calibration="none")
        metrics = len(evaluator.metrics)
        many = repeated(lambda: layer_plans(space, evaluator, plans), times)  # noqa: B023
        report("layer-level plans", protocol, metrics, "plans per CPU s", WANTED_PLANS_PER_S,
               [plans / seconds for seconds in many])  # fmt: skip
        one = repeated(
            lambda: [cost_of_plan(pixels, sites, evaluator) for _ in range(singles)],  # noqa: B023
            times,
        )
        report("one pixel plan", protocol, metrics, "CPU ms", WANTED_MS,
               [seconds / singles * 1e3 for seconds in one])  # fmt: skip


def report(
    case: str, protocol: str, metrics: int, unit: str, wanted: float, values: list[float]
) -> None:
    value, wall = (float(f"{v:.4g}") for v in values)
    line = {
        "case": case, "network": "resnet18 at 32 x 32", "protocol": protocol, "metrics": metrics,
        "value": value, "unit": unit, "wall": wall, "wanted": wanted, "evidence": "measured",
        "python": platform.python_version(), "numpy": np.__version__, "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
    }  # fmt: skip
    print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
