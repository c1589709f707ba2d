"""How many CKKS configurations a second the static rules judge, and the cost model prices.

Orion's MLP, LoLa and LeNet with random weights: neither layouts nor counts depend on them. The
layout is computed once; then random chains are judged against it, and parameter sets priced, one
thread. Prints one JSON line per network and question: configurations per CPU-second (at least
20,000 wanted of the static rules, 1,000 of the prices), medians over repetitions. Also one verdict
with its sentences, and one price, by itself, in ms.

Run: ``python benchmarks/ckks_throughput.py [--smoke]``.
"""

from __future__ import annotations

import argparse
import json
import platform
import random
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch

from evaluators.fhe.costs import Template, shipped_times
from evaluators.fhe.levels import circuit_of
from evaluators.fhe.packing import pack
from evaluators.fhe.prediction import predicted_latency
from evaluators.fhe.static import report
from evaluators.fhe.static_batch import ParamArrays, static_batch
from evaluators.fhe.static_rules import facts_of
from evaluators.fhe.trace import graph_of
from search.workloads.image import ImageClassification
from spaces.ckks.params import Chain, CkksParams

WANTED = {"static": 20_000, "predicted": 1_000}


def chains(count: int, log_n: int, depth: int) -> list[CkksParams]:
    """Random chains around what works: a few levels too many or too few, weak primes, ..."""
    rng, found = random.Random(0), []
    for _ in range(count):
        scale = rng.randint(20, 40)
        levels = tuple(scale + rng.randint(-4, 4) for _ in range(depth + rng.choice((-1, 0, 0, 1))))
        first = scale + rng.randint(0, 12)
        special = min(60, first + rng.randint(-2, 15))
        found.append(CkksParams(log_n, Chain(first, levels, (special,)), scale))
    return found


def per_second(call: Callable[[], object], count: int, repeats: int) -> float:
    """Median of ``count`` over CPU seconds of ``call``; its first time, with caches, apart."""
    call()
    times = []
    for _ in range(repeats):
        began = time.process_time()
        call()
        times.append(time.process_time() - began)
    return count / statistics.median(times)


def measured(network: str, log_n: int, count: int, repeats: int) -> list[dict[str, object]]:
    """The lines of one network."""
    workload = ImageClassification(network, "fashion_mnist")
    shape = tuple(workload.input_shape)
    images = np.random.default_rng(0).uniform(0, 1, (16, int(np.prod(shape))))
    graph = graph_of(workload.build(0).eval(), shape, calibration=images)
    base = CkksParams(log_n, Chain(60, (), (60,)), 40)
    packed = pack(graph, base.slots, base)
    facts, times = facts_of(packed, images), shipped_times()
    drawn = chains(count, log_n, facts.depth)
    arrays = ParamArrays.of(drawn)
    one = next(p for p in drawn if len(p.chain.levels) == facts.depth)
    template = Template.of(circuit_of(packed, one))
    dims = np.full(count, log_n)
    speeds = {
        "static": per_second(lambda: static_batch(facts, arrays), count, repeats),
        "predicted": per_second(lambda: template.latencies(dims, times), count, repeats),
    }
    alone = {
        "static": per_second(lambda: report(facts, one), 1, repeats),
        "predicted": per_second(lambda: predicted_latency(packed, one, times), 1, repeats),
    }
    return [
        {"network": network, "rung": rung, "value": round(speeds[rung]), "unit": "1/s",
         "wanted": WANTED[rung], "holds": speeds[rung] >= WANTED[rung],
         "one_alone_ms": round(1e3 / alone[rung], 3), "configurations": count,
         "evidence": "measured"}
        for rung in WANTED
    ]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smoke", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    cases = {"ckks_mlp": 13, "ckks_lola": 13, "ckks_lenet": 14}
    if options.smoke:
        cases = {"ckks_mlp": 13}
    for network, log_n in cases.items():
        count, repeats = (500, 1) if options.smoke else (20_000, 5)
        for line in measured(network, log_n, count, repeats):
            print(json.dumps({**line, "host": platform.node(), "smoke": options.smoke}))


if __name__ == "__main__":
    main()
