"""Do encrypted networks tell the classes that they tell in the clear?

MLP, LoLa and LeNet of Orion's sizes, trained on Fashion-MNIST: 100 images (LeNet: 20) on our engine
under parameters found for 10 bits, and on Orion under those it ships. Wanted: at least 99 of 100
and 20 of 20 on our engine. Prints one JSON line per run; ``--smoke`` takes seconds and needs no
Orion. LeNet takes 17 GB on Orion, and a little less with ``GOMEMLIMIT=14500MiB GOGC=50``.
"""

from __future__ import annotations

import argparse
import json

import torch
from ckks_search import chosen, ways
from ckks_shared import NETWORKS, facts, on_orion, on_seal, times_of, trained

from evaluators.fhe.orion.shipped import shipped
from search.api.errors import SearchError

BITS = 10.0
WANTED = {"mlp": 99.0, "lola": 99.0, "lenet": 100.0}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="few images of digits, no Orion")
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS), choices=NETWORKS)
    parser.add_argument("--images", type=int, default=100, help="a fifth of them for LeNet")
    parser.add_argument("--no-orion", action="store_true", help="leave Orion out")
    parser.add_argument("--no-seal", action="store_true", help="leave our engine out")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.smoke:
        arguments.networks, arguments.images, arguments.no_orion = ["mlp"], 5, True
    for name in arguments.networks:
        count = arguments.images // 5 if name == "lenet" else arguments.images
        case = trained(name, count, smoke=arguments.smoke)
        shared = {"network": name, "images": count, "accuracy": case.accuracy}
        if not arguments.no_seal:
            times = times_of()
            offers = sorted(ways(case, times), key=lambda offer: offer[0])
            _, params, packed, _ = chosen(case, offers, BITS)
            row = on_seal(case, params, times, keys=1, packed=packed)
            passed = row["agreement"] >= WANTED[name]
            tell({**shared, "run": "ours", **row, "passed": passed, **facts()})
        if not arguments.no_orion:
            try:
                row = on_orion(case, shipped()[name])
            except SearchError as error:
                row = {"failed": str(error)[:300]}
            tell({**shared, "run": "orion", **row, **facts()})


def tell(row: dict[str, object]) -> None:
    print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
