"""Layers and pixels chosen together against layers alone and pixels alone, at equal latency.

Every cell is one study of one trial: data, network link, what replaces a dropped ReLU, an arm, a
latency budget in % of the original network's (modelled, CrypTen), and a seed. All arms start from
the same teacher and take the same number of epochs, whatever part of them goes into choosing. A
placement above its budget stops the benchmark. The figures compare test accuracies, paired by seed;
options were chosen on the validation split.

Arms: ``joint`` (cost_masks), ``layers`` (whole layers only), ``pixels`` (every layer stays open, or
nothing is kept) and ``learned`` (AutoReP, as many ReLUs as the latency allows when every layer is
open).

One JSON line per cell goes to ``--out``; cells found there are not run again.

Run: ``python benchmarks/joint_placement.py --jobs 2 [--data skimage_patches] [--smoke]``
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

OUT = Path(__file__).parent / "results" / "joint_placement.jsonl"
TOLERANCE = 0.01
"""Percent of the original latency by which a placement may miss its budget: rounding."""

ARMS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "joint": ("pixel", {"name": "cost_masks"}),
    "layers": ("layer", {"name": "cost_masks"}),
    "pixels": ("pixel", {"name": "cost_masks", "layers": False}),
    "learned": ("pixel", {"name": "autorep"}),
}
"""Arm -> granularity and section ``method`` without its budget."""

NETWORKS: Mapping[str, tuple[Mapping[str, Any], Mapping[str, Any]]] = {
    "skimage_patches": ({"name": "resnet_tiny", "first_stride": 2}, {"name": "skimage_patches"}),
    "fashion_mini": ({"name": "resnet_tiny"}, {"name": "fashion_mini"}),
    "smoke": ({"name": "resnet_tiny", "width": 2}, {"name": "digits"}),
}
"""Data -> sections ``workload.network`` and ``workload.data``."""


@dataclass(frozen=True)
class Cell:
    """One trial: see the module's docstring."""

    data: str
    link: str
    replacement: str
    arm: str
    budget: float
    seed: int
    epochs: float

    @property
    def key(self) -> str:
        """Equal for equal cells."""
        return json.dumps(asdict(self), sort_keys=True)


def cells_of(options: argparse.Namespace) -> Iterator[Cell]:
    """All cells, seed by seed, so that a stopped run is still paired."""
    for seed in range(options.first, options.first + options.seeds):
        for data in options.data:
            for link in options.links:
                for replacement in options.replacements:
                    for budget in options.budgets:
                        for arm in options.arms:
                            yield Cell(data, link, replacement, arm, budget, seed, options.epochs)


def spec_of(cell: Cell, method: Mapping[str, Any], folder: Path, teacher: int) -> dict[str, Any]:
    """The study of ``cell``."""
    network, data = NETWORKS[cell.data]
    cost = {"name": "cost_2pc", "protocol": "crypten", "network": cell.link, "calibration": "none"}
    return {
        "study": {"name": "cell", "seed": cell.seed, "directory": str(folder)},
        "workload": {
            "name": "image_classification",
            "network": dict(network),
            "data": dict(data),
            "teacher": {"epochs": teacher},
        },
        "space": {
            "name": "relu_placement",
            "granularity": ARMS[cell.arm][0],
            "activations": ["relu", cell.replacement],
        },
        "method": dict(method),
        "objectives": ["accuracy", "latency_2pc"],
        "ladder": [
            {
                "rung": "train",
                "budget": {"epochs": cell.epochs},
                "evaluators": ["accuracy", cost, "relu_count"],
            }
        ],
        "searcher": "random",
        "budget": {"trials": 1},
        "runner": "inline",
    }


def prices_of(cell: Cell) -> tuple[float, float, bool]:
    """Latency of the original network in ms, the percentage of ReLUs that the budget pays for when
    every layer is open (0 if it does not pay for opening them), and whether any placement fits.
    """
    from evaluators.mpc.cost_2pc import Cost2PC
    from search.methods.cost_selection import original_cost, prices
    from search.workloads.image import ImageClassification
    from spaces.relu import ReluPlacement

    network, data = NETWORKS[cell.data]
    sites = ImageClassification(dict(network), dict(data)).sites()
    model = Cost2PC(sites, protocol="crypten", network=cell.link, calibration="none").cost_models()[
        "latency_2pc"
    ]
    space = ReluPlacement(sites, "pixel", activations=("relu", cell.replacement))
    price, whole = prices(space.masking, model), original_cost(space.masking, model)
    limit = cell.budget / 100 * whole
    room = limit - price.settled - sum(price.opened.values())
    dearest = max(price.element.values())
    total = space.masking.total
    # Where no mask costs less than its whole layer, a mask of pixels has nothing to offer.
    kept = math.floor(room / dearest) if room > 0 and dearest > 0 else 0
    return whole, 100.0 * min(kept, total) / total, price.least <= limit


def run_cell(cell: Cell, teacher_epochs: int) -> dict[str, Any]:
    """Run the study of ``cell`` and describe its one trial."""
    from search import Study
    from search.config import parse_spec

    started = time.process_time()
    whole, percent, feasible = prices_of(cell)
    row: dict[str, Any] = {"claim": "joint_placement", **asdict(cell), "latency_whole": whole}
    if not feasible:
        return {**row, "feasible": False}
    method = dict(ARMS[cell.arm][1])
    if method["name"] == "autorep":
        method["relu_budget"] = percent
    else:
        method["cost_budget"] = cell.budget
    with tempfile.TemporaryDirectory(prefix="joint-placement-") as folder:
        study = Study.from_spec(parse_spec(spec_of(cell, method, Path(folder), teacher_epochs)))
        snapshot = study.run()
        (trial,) = snapshot.trials
        if trial.status != "complete" or trial.outcome is None:
            raise SystemExit(f"{cell}: the trial is {trial.status}")
        found = {(m.metric, m.split): m.value for m in trial.outcome.measurements}
        notes = trial.outcome.notes
    one = {metric: value for (metric, split), value in found.items() if split != "test"}
    share = 100 * one["latency_2pc"] / whole
    if share > cell.budget + TOLERANCE:
        raise SystemExit(f"{cell}: latency is {share:.2f} % of the original")
    return {
        **row,
        "feasible": True,
        "latency_share": round(share, 2),
        "validation": round(found["accuracy", "validation"], 3),
        "test": round(found["accuracy", "test"], 3),
        "unit": "% (accuracy: measured; latency: model, ms)",
        "relus": int(one["relu_count"]),
        "gradient_evaluations": notes["gradient_evaluations"],
        "cpu_seconds": round(time.process_time() - started, 1),
    }


def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)


def _task(work: tuple[Cell, int]) -> dict[str, Any]:
    return run_cell(*work)


def run_cells(cells: Sequence[Cell], jobs: int, teacher_epochs: int, out: Path) -> None:
    """Run ``cells`` in ``jobs`` processes of one thread; each line is written when it is there."""
    os.environ["OMP_NUM_THREADS"] = "1"
    started = time.perf_counter()
    with multiprocessing.get_context("spawn").Pool(jobs, initializer=_one_thread) as pool:
        work = [(cell, teacher_epochs) for cell in cells]
        for done, row in enumerate(pool.imap_unordered(_task, work), 1):
            left = (time.perf_counter() - started) / done * (len(cells) - done)
            emit(row, out, f"[{done}/{len(cells)}, about {left / 60:.0f} min left] ")
        pool.close()
        pool.join()


def summary(rows: Sequence[Mapping[str, Any]], epochs: float) -> Iterator[dict[str, Any]]:
    """One line per data, link and replacement: accuracies, and ``joint`` less each other arm."""
    table: dict[tuple[str, str, str], dict[tuple[float, str], dict[int, float]]] = {}
    for r in rows:
        if r["epochs"] == epochs and r["feasible"]:
            group = table.setdefault((r["data"], r["link"], r["replacement"]), {})
            group.setdefault((r["budget"], r["arm"]), {})[r["seed"]] = r["test"]
    for (data, link, replacement), group in table.items():
        budgets = sorted({b for b, _ in group})
        joint = {b: group.get((b, "joint"), {}) for b in budgets}
        yield {
            "claim": "joint_placement",
            "summary": data,
            "link": link,
            "replacement": replacement,
            "epochs": epochs,
            "unit": "% (test accuracy); differences in points, paired by seed and budget",
            "accuracy": {
                f"{b:g}": {
                    arm: round(statistics.mean(cells.values()), 2)
                    for (budget, arm), cells in group.items()
                    if budget == b
                }
                for b in budgets
            },
            "joint_minus": {
                arm: difference(
                    [
                        joint[b][seed] - group[b, arm][seed]
                        for b in budgets
                        for seed in sorted(joint[b].keys() & group.get((b, arm), {}).keys())
                    ]
                )
                for arm in ARMS
                if arm != "joint"
            },
        }


def difference(found: Sequence[float]) -> dict[str, Any] | None:
    """Mean and standard error of paired differences."""
    if not found:
        return None
    error = statistics.stdev(found) / math.sqrt(len(found)) if len(found) > 1 else None
    return {
        "mean": round(statistics.mean(found), 2),
        "standard_error": None if error is None else round(error, 2),
        "wins": sum(d > 0 for d in found),
        "pairs": len(found),
    }


def emit(line: Mapping[str, Any], out: Path, prefix: str = "") -> None:
    text = json.dumps(line)
    print(prefix + text, flush=True)
    out.parent.mkdir(parents=True, exist_ok=True)
    with out.open("a", encoding="utf-8") as file:
        file.write(text + "\n")


def read(path: Path) -> list[dict[str, Any]]:
    """The lines of finished cells; a half-written last one is passed over."""
    rows = []
    for text in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        try:
            row = json.loads(text)
        except ValueError:
            continue
        if "arm" in row:
            rows.append(row)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", nargs="+", choices=NETWORKS, default=list(NETWORKS)[:2])
    parser.add_argument("--links", nargs="+", default=["wan", "lan"])
    parser.add_argument("--replacements", nargs="+", default=["identity"])
    parser.add_argument("--budgets", nargs="+", type=float, default=[40.0, 60.0, 80.0])
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first", type=int, default=0, help="first seed")
    parser.add_argument("--epochs", type=float, default=3.0, help="for choosing and fine-tuning")
    parser.add_argument("--teacher-epochs", type=int, default=20)
    parser.add_argument("--jobs", type=int, default=2, help="worker processes of one thread")
    parser.add_argument("--out", type=Path, default=OUT, help="lines go here; cells in it are kept")
    parser.add_argument("--dry", action="store_true", help="count the cells, run none")
    parser.add_argument("--smoke", action="store_true", help="one seed of the smallest study")
    options = parser.parse_args()
    if options.smoke:
        options.data, options.seeds, options.epochs, options.teacher_epochs = ["smoke"], 1, 2.0, 2
        options.links, options.budgets = ["wan"], [60.0]
        options.out = Path(tempfile.mkdtemp(prefix="joint-placement-")) / "smoke.jsonl"
    known = {_key(row) for row in read(options.out)}
    cells = list(cells_of(options))
    left = [c for c in cells if c.key not in known]
    print(f"{len(cells)} cells, {len(left)} to run", flush=True)
    if options.dry:
        return
    run_cells(left, options.jobs, options.teacher_epochs, options.out)
    for line in summary(read(options.out), options.epochs):
        emit(line, options.out)


def _key(row: Mapping[str, Any]) -> str:
    return Cell(**{name: row[name] for name in Cell.__dataclass_fields__}).key


if __name__ == "__main__":
    main()
