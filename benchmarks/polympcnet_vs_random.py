"""PolyMPCNet against random placement: equal trials, equal training budget, several seeds.

Runs ``configs/polympcnet.yaml`` and its baselines for each seed, and compares the hypervolumes of
their fronts (validation accuracy against modelled 2PC latency). The reference point of a seed is
the worst accuracy and the highest latency among all scored trials of all arms. One JSON line per
seed and arm, then one summary line.

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

from search import Study
from search.api.snapshot import Snapshot
from search.pareto import hypervolume, non_dominated

CONFIGS = Path(__file__).parents[1] / "configs"
GOALS = ("max", "min")


def run_seed(config: Path, seed: int, folder: Path, overrides: Sequence[str]) -> list[Snapshot]:
    study = Study.from_yaml(
        config,
        overrides=[f"study.seed={seed}", f"study.directory={folder / str(seed)}", *overrides],
    )
    arms = [study, *study.arms()]
    return [arm.run() for arm in arms]


def scored(snapshot: Snapshot) -> list[tuple[float, ...]]:
    return [t.values for t in snapshot.trials if t.feasible and t.values is not None]


def budget_spent(snapshot: Snapshot) -> float:
    """Images times backward passes, teacher left out (the arms share it)."""
    notes = [t.outcome.notes for t in snapshot.trials if t.outcome and t.status == "complete"]
    return sum(float(n.get("gradient_evaluations", 0)) for n in notes)


def describe(snapshot: Snapshot, reference: tuple[float, float], seed: int) -> dict[str, Any]:
    values = scored(snapshot)
    front = [values[i] for i in non_dominated(values, GOALS)]
    original = max(latency for _, latency in values)
    top = max(accuracy for accuracy, _ in values)
    fast = [latency for accuracy, latency in values if accuracy >= top - 2.0]
    return {
        "claim": "polympcnet_vs_random",
        "seed": seed,
        "arm": snapshot.arm,
        "trials": len(values),
        "gradient_evaluations": budget_spent(snapshot),
        "seconds": round(snapshot.seconds, 1),
        "hypervolume": round(hypervolume(values, reference, GOALS), 4),
        "unit": "% ms",
        "evidence": "accuracy measured (validation split), latency model",
        "reference": list(reference),
        "front": sorted(([round(a, 3), round(t, 4)] for a, t in front), key=lambda p: p[1]),
        "speedup_within_2_points": round(original / min(fast), 3),
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
    gains: dict[str, list[float]] = {}
    for seed in range(options.first, options.first + (1 if options.smoke else options.seeds)):
        arms = run_seed(config, seed, folder, options.set)
        everything = [v for arm in arms for v in scored(arm)]
        reference = (min(v[0] for v in everything), max(v[1] for v in everything))
        rows = [describe(arm, reference, seed) for arm in arms]
        for row in rows:
            emit(row, options.out)
        for row in rows[1:]:
            gains.setdefault(row["arm"], []).append(
                rows[0]["hypervolume"] / max(row["hypervolume"], 1e-12)
            )
    for arm, ratios in gains.items():
        wins = sum(r > 1 for r in ratios)
        emit(
            {
                "claim": "polympcnet_vs_random", "summary": f"main against {arm}",
                "wins": wins, "seeds": len(ratios),
                "hypervolume_ratio_median": round(statistics.median(ratios), 4),
                "hypervolume_ratios": [round(r, 4) for r in ratios],
            },
            options.out,
        )  # fmt: skip


def emit(line: dict[str, Any], out: Path | None) -> None:
    text = json.dumps(line)
    print(text, flush=True)
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        with out.open("a", encoding="utf-8") as f:
            f.write(text + "\n")


if __name__ == "__main__":
    main()
