"""Bits of each ReLU's comparison: chosen per site, against one width everywhere and the whole ring.

One trained network per data set, not trained further; only the widths differ. The study starts from
every uniform width and goes on with a searcher, both on the validation split. Of each kind the
cheapest plan is reported whose accuracy in fixed point is at most ``--loss`` points below that of
the whole ring; then the test split is measured once for each. Accuracy is ``simulated``, traffic
and latency are those of the cost ``model``.

Run: ``python benchmarks/relu_bits.py [--data fashion_mini] [--trials 40] [--smoke]``
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

OUT = Path(__file__).parent / "results" / "relu_bits.jsonl"
WHOLE = 64
WIDTHS = (6, 7, 8, 9, 10, 12, WHOLE)

NETWORKS: Mapping[str, tuple[Mapping[str, Any], Mapping[str, Any]]] = {
    "skimage_patches": ({"name": "resnet_tiny", "first_stride": 2}, {"name": "skimage_patches"}),
    "fashion_mini": ({"name": "resnet_tiny"}, {"name": "fashion_mini"}),
    "smoke": ({"name": "resnet_tiny", "width": 2}, {"name": "digits"}),
}
"""Data -> sections ``workload.network`` and ``workload.data``."""

PROTOCOLS = ("cryptflow2_ring", "cheetah_fm64", "crypten")
"""The first is searched under. CrypTen itself sends whole words; its row is of an engine that
packs them."""

OVERRIDES: Mapping[str, Mapping[str, str]] = {"cryptflow2_ring": {"ring_bits": "64 bit"}}
"""The ring of the simulation, in place of the table's 32 bits."""


def spec_of(data: str, options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """The study of ``data``: one trained network, and widths to choose."""
    network, images = NETWORKS[data]
    cost = {
        "name": "cost_2pc", "protocol": PROTOCOLS[0], "layers": "nonlinear", "network": "lan",
        "calibration": "none", "overrides": OVERRIDES[PROTOCOLS[0]],
    }  # fmt: skip
    return {
        "study": {"name": "bits", "seed": options.seed, "directory": str(folder)},
        "workload": {
            "name": "image_classification",
            "network": dict(network),
            "data": dict(images),
            "teacher": {"epochs": options.teacher_epochs},
        },
        "space": {"name": "relu_placement", "activations": ["relu"], "relu_bits": list(WIDTHS)},
        "method": "finetune",
        "objectives": ["accuracy_fixed", "bytes_2pc"],
        "ladder": [
            {
                "rung": "as_trained",
                "budget": {"finetune_epochs": 0},
                "evaluators": ["fixed_point", cost],
            }
        ],
        "searcher": {"name": options.searcher},
        "budget": {"trials": options.trials},
        "runner": "inline",
    }


def costs(sites: Any, plan: Any) -> dict[str, dict[str, float]]:
    """Modelled cost of all ReLUs per protocol, linear layers left out: MB, ms on LAN and WAN."""
    from evaluators.mpc.cost_2pc import Cost2PC

    found: dict[str, dict[str, float]] = {}
    for protocol in PROTOCOLS:
        row = found.setdefault(protocol, {})
        for link in ("lan", "wan"):
            models = Cost2PC(
                sites, protocol=protocol, network=link, calibration="none", layers="nonlinear",
                overrides=OVERRIDES.get(protocol, {}),
            ).cost_models()  # fmt: skip
            usage = plan.usage(sites)
            row["bytes_2pc"] = round(float(models["bytes_2pc"].cost(usage)), 4)
            row[f"latency_{link}"] = round(float(models["latency_2pc"].cost(usage)), 2)
    return found


def run(data: str, options: argparse.Namespace) -> dict[str, Any]:
    """Search the widths of one network, and compare."""
    from evaluators.fixed_point import FixedPoint
    from search import Study
    from search.config import parse_spec
    from search.workloads.image import ImageClassification
    from search.workloads.plan import network_of
    from spaces.relu import ReluPlacement

    started = time.perf_counter()
    network, images = NETWORKS[data]
    workload = ImageClassification(
        dict(network), dict(images), teacher={"epochs": options.teacher_epochs}
    )
    sites = workload.sites()
    space = ReluPlacement(sites, activations=("relu",), relu_bits=WIDTHS)
    count = len(space.members("relu_bits"))
    with tempfile.TemporaryDirectory(prefix="relu-bits-") as folder:
        study = Study.from_spec(parse_spec(spec_of(data, options, Path(folder))))
        for width in reversed(WIDTHS):
            study.suggest({"activation": ["relu"] * count, "relu_bits": [width] * count})
        snapshot = study.run()
        rows = []
        for trial in snapshot.trials:
            if trial.status != "complete" or trial.outcome is None:
                raise SystemExit(f"{data}: trial {trial.number} is {trial.status}: {trial.outcome}")
            value = {m.metric: m.value for m in trial.outcome.measurements if m.split != "test"}
            bits = tuple(trial.point["relu_bits"])  # type: ignore[arg-type]
            rows.append((bits, value["accuracy_fixed"], value["bytes_2pc"], trial))
        ring = next(r for r in rows if set(r[0]) == {WHOLE})
        good = [r for r in rows if r[1] >= ring[1] - options.loss]
        uniform = min((r for r in good if len(set(r[0])) == 1), key=lambda r: r[2])
        searched = min(good, key=lambda r: r[2])
        # Nothing was trained, so all trials have the same weights.
        weights = Path(ring[3].outcome.artefacts["weights.safetensors"])
        plan = space.build({"activation": ("relu",) * count, "relu_bits": ring[0]})
        trained = network_of(workload, plan, weights)
        line: dict[str, Any] = {
            "claim": "relu_bits",
            "data": data,
            "sites": list(space.members("relu_bits")),
            "trials": len(rows),
            "loss_allowed": options.loss,
            "unit": "accuracy: %, simulated; bytes_2pc: MB, latency: ms, of the ReLUs, model",
        }
        for name, row in (("ring", ring), ("uniform", uniform), ("searched", searched)):
            widths = dict(zip(space.members("relu_bits"), row[0], strict=True))
            test = FixedPoint(workload).run(trained, "test", widths=widths)  # type: ignore[arg-type]
            chosen = space.build({"activation": ("relu",) * count, "relu_bits": row[0]})
            line[name] = {
                "bits": list(row[0]),
                "validation": round(row[1], 3),
                "test": round(100 * test.correct / test.n, 3),
                **costs(sites, chosen),
            }
    line["seconds"] = round(time.perf_counter() - started, 1)
    return line


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", nargs="+", choices=NETWORKS, default=list(NETWORKS)[:2])
    parser.add_argument("--trials", type=int, default=40, help="uniform widths included")
    parser.add_argument("--loss", type=float, default=0.5, help="points of validation accuracy")
    parser.add_argument("--searcher", default="evolution")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--teacher-epochs", type=int, default=20)
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--smoke", action="store_true", help="the smallest network, few trials")
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    import torch

    torch.set_num_threads(1)
    if options.smoke:
        options.data, options.trials, options.teacher_epochs = ["smoke"], len(WIDTHS) + 3, 2
        options.out = Path(tempfile.mkdtemp(prefix="relu-bits-")) / "smoke.jsonl"
    for data in options.data:
        text = json.dumps(run(data, options))
        print(text, flush=True)
        options.out.parent.mkdir(parents=True, exist_ok=True)
        with options.out.open("a", encoding="utf-8") as file:
            file.write(text + "\n")


if __name__ == "__main__":
    main()
