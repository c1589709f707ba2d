"""Do the models tell what encrypted inference takes, and how precise it is? SEAL, encrypted.

MLP, LoLa and LeNet under parameter sets that no calibration has seen, among them such whose special
prime is too near the first one: predicted against measured precision (mean over images and fresh
keys) and predicted against measured CPU time. Prints one JSON line per parameter set, one per
network and one of all: wanted are precision within 1 bit and latency within 10 % (medians).

``python benchmarks/ckks_prediction.py`` measures this host first if nothing is known of it
(``--calibrate`` does so anyway); ``--smoke`` takes a minute and proves only that it works.
LeNet takes about 6 GB and half a CPU minute per parameter set.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
from collections.abc import Iterator, Sequence

import numpy as np
import torch

from evaluators.fhe import reference
from evaluators.fhe.backends import Limits, median_stages
from evaluators.fhe.calibration import calibrate, calibration_file, find_times
from evaluators.fhe.costs import OperationTimes
from evaluators.fhe.graph import Graph
from evaluators.fhe.packing import pack
from evaluators.fhe.precision import compare
from evaluators.fhe.prediction import modelled_bits, predicted_latency, simulated_bits
from evaluators.fhe.seal.run import run_encrypted
from evaluators.fhe.trace import graph_of
from search.methods.trainer import Recipe, train
from search.workloads.image import ImageClassification
from spaces.ckks.params import Chain, CkksParams

# log2 N, first prime, level primes and scale, special prime; all within 128 bit.
SMALL = (
    (13, 31, 26, 45), (13, 31, 26, 36), (13, 31, 26, 31), (13, 33, 28, 40), (13, 36, 26, 48),
    (13, 34, 29, 34), (14, 40, 30, 52), (14, 50, 40, 60), (14, 60, 40, 60), (14, 45, 35, 50),
    (14, 55, 45, 60), (15, 50, 40, 60),
)  # fmt: skip
LARGE = (
    (14, 38, 28, 50), (14, 40, 30, 52), (14, 40, 30, 40), (14, 42, 32, 54), (14, 44, 34, 56),
    (14, 45, 35, 60), (14, 46, 36, 48), (14, 50, 38, 60), (14, 48, 38, 54), (14, 50, 40, 60),
    (14, 60, 40, 60), (14, 52, 42, 60),
)  # fmt: skip
NETWORKS = {"ckks_mlp": (5, SMALL), "ckks_lola": (5, SMALL), "ckks_lenet": (7, LARGE)}

WANTED_BITS, WANTED_LATENCY = 1.0, 0.10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="two sets of the smallest network")
    parser.add_argument("--calibrate", action="store_true", help="measure this host in any case")
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS), choices=list(NETWORKS))
    parser.add_argument("--sets", type=int, default=12, help="parameter sets per network")
    parser.add_argument("--images", type=int, default=4)
    parser.add_argument("--keys", type=int, default=3, help="sets of fresh keys")
    parser.add_argument("--epochs", type=float, default=1.0, help="of training")
    parser.add_argument("--data", default="fashion_mnist")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.smoke:
        arguments.networks, arguments.sets, arguments.epochs = ["ckks_lola"], 2, 0.02
    elif arguments.calibrate or not calibration_file("tenseal").is_file():
        calibrate()
    times = find_times("auto")
    everything = []
    for name in arguments.networks:
        rows = []
        for row in measured(name, times, arguments):
            print(json.dumps(row), flush=True)
            rows.append(row)
        everything += rows
        print(json.dumps({"network": name, **summary(rows)}), flush=True)
    facts = {"times": times.describe(), "host": platform.node(), "smoke": arguments.smoke}
    print(json.dumps({"network": "all", **summary(everything), **facts}), flush=True)


def measured(
    name: str, times: OperationTimes, arguments: argparse.Namespace
) -> Iterator[dict[str, object]]:
    """One row per parameter set."""
    depth, sets = NETWORKS[name]
    graph, images = trained(name, arguments)
    exact = reference.run(graph, images)
    for log_n, first, level, special in sets[: arguments.sets]:
        params = CkksParams(log_n, Chain(first, (level,) * depth, (special,)), level)
        packed = pack(graph, params.slots, params, times)
        model = modelled_bits(packed, [params], images)[0]
        drawn = simulated_bits(packed, params, images)
        time = predicted_latency(packed, params, times)
        run = run_encrypted(
            packed, params, images, repeats=arguments.keys, limits=Limits(1800.0, 12000.0)
        )
        found = compare(
            np.array([i.output for i in run.inferences]),
            np.array([exact[i.image] for i in run.inferences]),
        )
        cpu = 1e3 * statistics.median(i.cpu_seconds for i in run.inferences)
        ends = {"input": "encrypt", "output": "decrypt"}
        stages = {ends.get(s.node, s.node): s.milliseconds for s in time.stages}
        yield {
            "network": name, "log_n": log_n, "first": first, "scale": level, "special": special,
            "predicted_bits": round(model.mean, 2), "simulated_bits": round(drawn.mean, 2),
            "measured_bits": round(found.mean, 2),
            "predicted_worst_bits": round(model.worst, 2), "worst_bits": round(found.worst, 2),
            "predicted_ms": round(time.total, 1), "measured_ms": round(cpu, 1),
            "agreement": found.agreement,
            "stages": {
                row["stage"]: [round(stages.get(row["stage"], 0.0), 1), round(row["cpu_ms"], 1)]
                for row in median_stages(run)
            },
        }  # fmt: skip


def trained(name: str, arguments: argparse.Namespace) -> tuple[Graph, np.ndarray]:
    """The network's graph and some validation images, flattened."""
    workload = ImageClassification(network=name, data=arguments.data)
    torch.manual_seed(0)
    network = workload.build(0)
    train(network, workload.data.train, Recipe(arguments.epochs, 0.02), seed=0)
    graph = graph_of(network.eval(), tuple(workload.input_shape))
    images = workload.data.validation.x[: arguments.images]
    return graph, images.reshape(len(images), -1).double().numpy()


def summary(rows: Sequence[dict[str, object]]) -> dict[str, object]:
    bits = statistics.median(distance(r, "predicted_bits", "measured_bits") for r in rows)
    drawn = statistics.median(distance(r, "simulated_bits", "measured_bits") for r in rows)
    latency = [float(str(r["predicted_ms"])) / float(str(r["measured_ms"])) - 1 for r in rows]
    off = statistics.median(map(abs, latency))
    return {
        "sets": len(rows),
        "median_bits_off": round(bits, 2),
        "median_simulated_bits_off": round(drawn, 2),
        "largest_bits_off": round(
            max(distance(r, "predicted_bits", "measured_bits") for r in rows), 2
        ),
        "median_latency_off": round(off, 3),
        "largest_latency_off": round(max(map(abs, latency)), 3),
        "passed": bits <= WANTED_BITS and off <= WANTED_LATENCY,
    }


def distance(row: dict[str, object], one: str, other: str) -> float:
    return abs(float(str(row[one])) - float(str(row[other])))


if __name__ == "__main__":
    main()
