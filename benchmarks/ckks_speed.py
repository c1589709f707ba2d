"""How fast encrypted inference is on our engine, and what each idea gave: steps one by one.

MLP, LoLa and LeNet of Orion's sizes, trained on Fashion-MNIST, one run after another:

1. ``fixed layouts``: rows, and gaps behind strided convolutions, as Orion and the prototype that
   the specification measured have them; the chain of that prototype;
2. ``searched layouts``: those of least predicted time, among them phases, copies, spread tensors;
3. ``client's packing``: the input also rotated or in columns, whichever is predicted to be fastest;
4. ``rescaling soon``: before partial sums and giant steps wherever that is faster;
5. ``paired primes``: a square and the linear map behind it share one prime and one rescaling;
6. ``two processes``: two images at once on two cores, by wall clock.

Weights are encoded once for all images: ``encode_weights`` says what each image is spared.
Rotations of one input could share its decomposition (hoisting); SEAL's interface has no such call.

Wanted: at most 0.45, 0.30 and 6.5 CPU-s per image. Prints JSON lines; ``--smoke`` takes seconds.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from ckks_search import PACKINGS, best_chain, chains, pairs_of
from ckks_shared import (
    LIMITS,
    NETWORKS,
    Case,
    facts,
    on_seal,
    packed_for,
    ratio,
    rounded,
    times_of,
    trained,
)

from evaluators.fhe import input_search, layout_search, packing
from evaluators.fhe.costs import OperationTimes
from evaluators.fhe.layout import gaps, rows
from evaluators.fhe.packed import Layout, PackedNetwork
from evaluators.fhe.prediction import predicted_latency
from evaluators.fhe.seal.run import run_encrypted
from spaces.ckks.params import Chain, CkksParams, Drops, InputPacking, LayerPacking, Rescaling

# CPU-s per image that are wanted, and the parameters of the prototype: log2 N, first prime, level
# primes and scale, special prime.
WANTED = {"mlp": 0.45, "lola": 0.30, "lenet": 6.5}
PROTOTYPE = {"mlp": (13, 31, 26, 45), "lola": (13, 31, 26, 45), "lenet": (14, 45, 35, 60)}
PROTOTYPE_S = {"mlp": 0.39, "lola": 0.22, "lenet": 6.3}
"""CPU-s that the prototype took when it was specified, on networks of nearly these sizes."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="the smallest network, on digits")
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS), choices=NETWORKS)
    parser.add_argument("--images", type=int, default=6)
    parser.add_argument("--keys", type=int, default=2, help="sets of fresh keys")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.smoke:
        arguments.networks, arguments.images, arguments.keys = ["lola"], 2, 1
    for name in arguments.networks:
        images, keys = arguments.images, arguments.keys
        if name == "lenet":
            images, keys = min(images, 2), 1
        case = trained(name, images, smoke=arguments.smoke)
        steps(case, keys)


def steps(case: Case, keys: int) -> None:
    """Every step of one network, and what it gave."""
    times = times_of()
    rows: list[tuple[str, dict[str, Any]]] = []

    def keep(step: str, params: CkksParams, packed: PackedNetwork) -> None:
        row = on_seal(case, params, times, keys=keys, packed=packed)
        row["predicted_s"] = rounded(predicted_latency(packed, params, times).total / 1e3)
        rows.append((step, row))
        tell({"network": case.name, "step": step, **row, **facts()})

    first = of_prototype(case, rescaling="last")
    with fixed_layouts():
        packed = packed_for(case, first, times)
    keep("fixed layouts", first, packed)
    keep("searched layouts", first, packed_for(case, first, times))
    for step, when, drops in (
        ("client's packing", "last", "each"),
        ("rescaling soon", "soon", "each"),
        ("paired primes", "soon", "paired"),
    ):
        params, packed = fastest(case, times, when, drops)
        keep(step, params, packed)
    tell({"network": case.name, "step": "two processes", **two_processes(case, params, packed)})
    tell({"network": case.name, "step": "summary", **summary(case, rows)})


def summary(case: Case, rows: Sequence[tuple[str, dict[str, Any]]]) -> dict[str, Any]:
    best = min(row["cpu_s"] for _, row in rows)
    last = rows[-1][1]
    encoding = last["setup_cpu_s"]["encode_weights"]
    return {
        "cpu_s": {step: row["cpu_s"] for step, row in rows},
        "bits": {step: row["bits"] for step, row in rows},
        "times_faster_than_the_step_before": {
            step: ratio(before, row)
            for (_, before), (step, row) in zip(rows, rows[1:], strict=False)
        },
        "times_faster_in_all": ratio(rows[0][1], last),
        "encoding_weights_each_time": f"{1 + encoding / last['cpu_s']:.2f} times slower",
        "hoisting": "not in SEAL's interface",
        "prototype_cpu_s": PROTOTYPE_S[case.name],
        "wanted_cpu_s": WANTED[case.name],
        "passed": best <= WANTED[case.name],
    }


def of_prototype(
    case: Case, *, rescaling: Rescaling, drops: Drops = "each", packing: InputPacking = "plain"
) -> CkksParams:
    """The prototype's parameters, for the levels of ``case``."""
    log_n, first, level, special = PROTOTYPE[case.name]
    chain = Chain(first, (level,) * len(pairs_of(case, drops)), (special,))
    sites = [node.name for node in case.graph.nodes if node.linear is not None]
    layers = tuple(LayerPacking(site, rescaling=rescaling) for site in sites)
    return CkksParams(log_n, chain, level, input_packing=packing, layers=layers, drops=drops)


def fastest(
    case: Case, times: OperationTimes, rescaling: Rescaling, drops: Drops
) -> tuple[CkksParams, PackedNetwork]:
    """The packing of the input that is predicted to be fastest; a chain of its own if paired."""
    offers = []
    for packing_ in PACKINGS:
        params = of_prototype(case, rescaling=rescaling, drops=drops, packing=packing_)
        packed = packed_for(case, params, times)
        offers.append((predicted_latency(packed, params, times).total, params, packed))
    _, params, packed = min(offers, key=lambda offer: offer[0])
    if drops == "paired":
        best = best_chain(case, params, packed)
        if best is None:
            raise ValueError(f"{case.name}: none of {len(chains(case, params))} chains is legal")
        params = best[0]
    return params, packed


@contextmanager
def fixed_layouts() -> Iterator[None]:
    """Layouts without a search: gaps where strides have left them, else rows; no copies."""

    def candidates(group: Any, slots: int, *_: object, gap: int = 1, frame: Any = None,
                   **__: object) -> list[Layout]:  # fmt: skip
        if len(group.shape) == 3 and gap > 1:
            return [gaps(group.shape, slots, gap, frame=frame)]
        return [rows(group.shape, slots)]

    def only_rows(edge: Any, result: Layout, shape: Sequence[int], *_: object) -> list[Any]:
        sums = input_search.Sums(True, lean=edge.last)
        return [input_search._Plain(rows(shape, edge.slots), result, edge.slots, sums)]

    def nothing(*_: object) -> None:
        return None

    packing._chosen.cache_clear()
    with (
        patch.object(layout_search, "candidates", candidates),
        patch.object(input_search, "_layouts", only_rows),
        patch.object(input_search, "shifted", nothing),
    ):
        yield
    packing._chosen.cache_clear()


def two_processes(case: Case, params: CkksParams, packed: PackedNetwork) -> dict[str, Any]:
    """Wall-clock time of a batch of images on one and on two processes."""
    images = np.concatenate([case.images] * 2)
    took = {}
    for processes in (1, 2):
        run = run_encrypted(packed, params, images, processes=processes, limits=LIMITS)
        shares = [
            sum(i.seconds for i in run.inferences if i.image % processes == worker)
            for worker in range(processes)
        ]
        took[processes] = max(shares) / len(images)
    return {
        "images": len(images),
        "wall_s_per_image": {str(n): rounded(s) for n, s in took.items()},
        "times_faster": round(took[1] / took[2], 2),
        **facts(),
    }


def tell(row: dict[str, Any]) -> None:
    print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
