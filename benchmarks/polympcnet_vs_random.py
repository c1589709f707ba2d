"""PolyMPCNet against random placement: equal trials, equal training budget, several seeds.

Runs ``configs/polympcnet.yaml`` and its baselines for each seed, and compares the hypervolumes of
their fronts (validation accuracy against modelled 2PC latency). The reference point is what private
inference starts from: the latency of the original all-ReLU network, and the accuracy of the network
with no nonlinearity at all, trained here with the same budget. A second hypervolume, from the
worst values of both arms and a tenth of their range, is given beside it: it weighs accuracies that
differ by less than their error. One JSON line per seed and arm, then summary lines.

Run: ``python benchmarks/polympcnet_vs_random.py --seeds 5 [--out FILE] [--smoke]``
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from search import Study, Vector
from search.api.snapshot import Snapshot
from search.config import parse_spec
from search.pareto import hypervolume, non_dominated
from search.report.family import family_of
from search.results import scored

CONFIGS = Path(__file__).parents[1] / "configs"
GOALS = ("max", "min")


def run_seed(config: Path, seed: int, folder: Path, overrides: Sequence[str]) -> list[Snapshot]:
    study = Study.from_yaml(
        config,
        overrides=[f"study.seed={seed}", f"study.directory={folder / str(seed)}", *overrides],
    )
    arms = [study, *study.arms()]
    return [arm.run() for arm in arms]


def budget_spent(snapshot: Snapshot) -> float:
    """Images times backward passes, teacher left out (the arms share it)."""
    notes = [t.outcome.notes for t in snapshot.trials if t.outcome and t.status == "complete"]
    return sum(float(n.get("gradient_evaluations", 0)) for n in notes)


def linear_accuracy(config: Path, folder: Path, overrides: Sequence[str]) -> float:
    """Validation accuracy [%] of the network with identity for every activation, fine-tuned like
    a trial of the random arm.
    """
    plain = Study.from_yaml(config, overrides=[f"study.directory={folder}", *overrides])
    space = dict(plain.spec.space.options) | {"name": "relu_placement"}
    space["activations"] = ["identity", "relu"]
    data = plain.spec.arm("random_placement").model_dump(mode="json")
    data["space"] = space
    data["study"]["name"] += "-linear"
    study = Study.from_spec(parse_spec(data))
    lengths = {p.name: p.domain.length for p in study.params if isinstance(p.domain, Vector)}
    point = {n: ["avg" if n == "pool" else "identity"] * k for n, k in lengths.items()}
    values = study.evaluate(point).values
    if values is None:
        raise SystemExit("the linear network could not be trained")
    return values[0]


def describe(
    snapshot: Snapshot, floor: tuple[float, ...], corner: tuple[float, ...], seed: int
) -> dict[str, Any]:
    values = [v for _, v in scored(snapshot.trials)]
    front = [values[i] for i in non_dominated(values, GOALS)]
    top = max(accuracy for accuracy, _ in values)
    fast = [latency for accuracy, latency in values if accuracy >= top - 2.0]
    return {
        "claim": "polympcnet_vs_random",
        "seed": seed,
        "arm": snapshot.arm,
        "trials": len(values),
        "gradient_evaluations": budget_spent(snapshot),
        "seconds": round(snapshot.seconds, 1),
        "hypervolume": round(hypervolume(values, floor, GOALS), 3),
        "unit": "% ms",
        "evidence": "accuracy measured (validation split), latency model",
        "reference": [round(v, 4) for v in floor],
        "hypervolume_worst_corner": round(hypervolume(values, corner, GOALS), 3),
        "worst_corner": [round(v, 4) for v in corner],
        "front": sorted(([round(a, 3), round(t, 4)] for a, t in front), key=lambda p: p[1]),
        "fastest_within_2_points_of_best_ms": round(min(fast), 4),
        "speedup_over_original": round(floor[1] / min(fast), 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first", type=int, default=0, help="first seed")
    parser.add_argument("--out", type=Path, help="also append the JSON lines to this file")
    parser.add_argument("--folder", type=Path, help="keep the run directories here")
    parser.add_argument("--set", action="append", default=[], help="overrides, as for search run")
    parser.add_argument("--smoke", action="store_true", help="one seed of the smallest study")
    options = parser.parse_args()
    config = CONFIGS / ("smoke/polympcnet_digits.yaml" if options.smoke else "polympcnet.yaml")
    folder = options.folder or Path(tempfile.mkdtemp(prefix="polympcnet-vs-random-"))
    accuracy = linear_accuracy(config, folder, options.set)
    rows: list[dict[str, Any]] = []
    for seed in range(options.first, options.first + (1 if options.smoke else options.seeds)):
        arms = run_seed(config, seed, folder, options.set)
        corner = family_of(arms).reference
        if corner is None:
            raise SystemExit(f"seed {seed}: no trial was scored")
        floor = (accuracy, original_latency(arms[0]))
        for arm in arms:
            rows.append(describe(arm, floor, corner, seed))
            emit(rows[-1], options.out)
    for key in ("hypervolume", "hypervolume_worst_corner"):
        for arm in sorted({r["arm"] for r in rows} - {"main"}):
            summarise(rows, arm, key, options.out)


def original_latency(snapshot: Snapshot) -> float:
    """Latency [ms] of the all-ReLU network, as the method noted it."""
    notes = [t.outcome.notes for t in snapshot.trials if t.outcome]
    return next(float(n["soft_cost"]["original"]) for n in notes if "soft_cost" in n)


def summarise(rows: Sequence[dict[str, Any]], arm: str, key: str, out: Path | None) -> None:
    ours = {r["seed"]: r[key] for r in rows if r["arm"] == "main"}
    theirs = {r["seed"]: r[key] for r in rows if r["arm"] == arm}
    ratios = [ours[s] / max(theirs[s], 1e-12) for s in sorted(ours)]
    line = {
        "claim": "polympcnet_vs_random", "summary": f"main against {arm}, {key}",
        "wins": sum(r > 1 for r in ratios), "seeds": len(ratios),
        "ratio_median": round(statistics.median(ratios), 4),
        "ratios": [round(r, 4) for r in ratios],
    }  # fmt: skip
    emit(line, out)


def emit(line: dict[str, Any], out: Path | None) -> None:
    text = json.dumps(line)
    print(text, flush=True)
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        with out.open("a", encoding="utf-8") as f:
            f.write(text + "\n")


if __name__ == "__main__":
    main()
