"""Does the order on a front hold when its networks really run between two parties?

Runs a study, takes the networks on its front (of all arms together with ``--arms``), and infers
validation images with each under CrypTen, two processes on loopback. One JSON line per network with
predicted and measured latency (the least of four medians) and the largest output error, then one
line with Kendall's tau-b of the orders. The model is that of CrypTen on loopback with CPU times
calibrated on this host first; ``order_own`` is the order by the study's own latency model, another
protocol perhaps.

Run it on a quiet machine with two free cores:
``python benchmarks/measured_front.py polympcnet autorep [--out FILE]``; ``--smoke`` takes the
smallest study and proves only that it works.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from scipy.stats import kendalltau

from evaluators.lowered.lower import lower
from evaluators.mpc.calibration import fit, write
from evaluators.mpc.cost_2pc import Cost2PC
from evaluators.mpc.crypten.run import run_many
from evaluators.mpc.crypten.samples import SIZES, measure
from search import Study
from search.api.snapshot import Snapshot
from search.api.trial import Trial
from search.pareto import non_dominated
from search.results import scored
from search.workloads.plan import network_of
from spaces.plan import NonlinearityPlan

CONFIGS = Path(__file__).parents[1] / "configs"
WANTED_ORDER, WANTED_ERROR = 0.8, 1e-3
FRACTION_BITS = 18
APART = 0.05
TURNS = 4


def studied(
    name: str, folder: Path, arms: bool, overrides: Sequence[str]
) -> tuple[Study, list[Snapshot]]:
    study = Study.from_yaml(
        CONFIGS / f"{name}.yaml", overrides=[f"study.directory={folder / name}", *overrides]
    )
    return study, [arm.run() for arm in (study, *(study.arms() if arms else ()))]


def front_of(snapshots: Sequence[Snapshot]) -> list[tuple[str, Trial]]:
    """(arm, trial) on the common front, best accuracy first."""
    found = [(s.arm, trial, values) for s in snapshots for trial, values in scored(s.trials)]
    goals = [m.goal for m in snapshots[0].objectives]
    chosen = [found[i] for i in non_dominated([values for _, _, values in found], goals)]
    chosen.sort(key=lambda entry: entry[2], reverse=True)
    return [(arm, trial) for arm, trial, _ in chosen]


def network_and_plan(study: Study, trial: Trial) -> tuple[torch.nn.Module, NonlinearityPlan]:
    candidate = trial.outcome.candidate if trial.outcome else None
    if candidate is None:
        raise SystemExit(f"trial {trial.number} has no candidate")
    plan = NonlinearityPlan.decode(candidate["payload"])
    return network_of(study.components.workload, plan, trial.artefacts[candidate["weights"]]), plan


def rows_of(
    name: str, study: Study, chosen: Sequence[tuple[str, Trial]], calibration: Path, repeats: int,
    images: int,
) -> list[dict[str, Any]]:  # fmt: skip
    x = study.components.workload.data.validation.x[:images].float()
    built = [network_and_plan(study, trial) for _, trial in chosen]
    programs = [lower(network, tuple(x.shape[1:])) for network, _ in built]
    # In turns, so that a busy moment of the machine does not fall on one network alone.
    turns = [
        run_many(
            [(program, x) for program in programs], repeats=repeats, timeout_s=1800,
            fraction_bits=FRACTION_BITS,
        )
        for _ in range(TURNS)
    ]  # fmt: skip
    runs = turns[0]
    seconds = [min(turn[i].seconds for turn in turns) for i in range(len(programs))]
    sites = study.components.workload.sites()
    models = Cost2PC(
        sites, protocol="crypten", network="loopback", calibration=str(calibration)
    ).cost_models()
    rows = []
    for (arm, trial), (network, plan), run, best in zip(chosen, built, runs, seconds, strict=True):
        with torch.inference_mode():
            plain = network(x)
        usage = plan.usage(sites)
        own = trial.measurement("latency_2pc")
        accuracy = trial.measurement("accuracy")
        rows.append({
            "claim": "measured_front", "study": name, "arm": arm, "trial": trial.number,
            "accuracy_validation": round(accuracy.value, 3) if accuracy else None,
            "relus": sum(w.elements for w in usage if w.operator == "relu"),
            "latency_ms": round(1e3 * best, 2),
            "latency_model_ms": round(float(models["latency_2pc"].cost(usage)), 2),
            "latency_own_model_ms": round(own.value, 3) if own else None,
            "bytes_MB": round(run.bytes / 1e6, 4),
            "bytes_model_MB": round(float(models["bytes_2pc"].cost(usage)), 4),
            "rounds": run.rounds,
            "output_error": float((run.outputs - plain).abs().max()),
            "output_size": round(float(plain.abs().max()), 2),
            "same_class": float((run.outputs.argmax(1) == plain.argmax(1)).float().mean()),
            "evidence": "latency, bytes, rounds and error measured; *_model_* modelled",
        })  # fmt: skip
    return rows


def summary(name: str, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    def order(key: str) -> float | None:
        pairs = [(r[key], r["latency_ms"]) for r in rows if r[key] is not None]
        tau = kendalltau(*zip(*pairs, strict=True)).statistic if len(pairs) > 1 else float("nan")
        return round(float(tau), 3) if tau == tau else None

    times = [(r["latency_model_ms"], r["latency_ms"]) for r in rows]
    # What the model itself says is nearly equal cannot be put in order by a clock.
    apart = [
        (a > c) == (b > d)
        for i, (a, b) in enumerate(times)
        for c, d in times[:i]
        if abs(a - c) > APART * max(a, c)
    ]
    return {
        "claim": "measured_front", "study": name, "summary": "front", "networks": len(rows),
        "order": order("latency_model_ms"), "order_own": order("latency_own_model_ms"),
        "pairs_apart": len(apart), "pairs_apart_in_order": sum(apart),
        "output_error_most": max(r["output_error"] for r in rows),
        "same_class_least": min(r["same_class"] for r in rows),
        "bytes_off_most": max(abs(r["bytes_model_MB"] / r["bytes_MB"] - 1) for r in rows),
        "wanted": {"order": WANTED_ORDER, "output_error": WANTED_ERROR},
        "load": [round(v, 2) for v in os.getloadavg()],
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("studies", nargs="*", default=["polympcnet", "autorep"])
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--images", type=int, default=16)
    parser.add_argument("--arms", action="store_true", help="the front of all arms together")
    parser.add_argument("--folder", type=Path, help="keep or reuse the run directories here")
    parser.add_argument("--set", action="append", default=[], help="overrides, as for search run")
    parser.add_argument("--out", type=Path, help="also append the JSON lines to this file")
    parser.add_argument("--smoke", action="store_true", help="smallest study, few repetitions")
    options = parser.parse_args()
    torch.set_num_threads(1)
    names = ["smoke/polympcnet_digits"] if options.smoke else options.studies
    repeats = 2 if options.smoke else options.repeats
    folder = options.folder or Path(tempfile.mkdtemp(prefix="measured-front-"))
    studies = [(n, *studied(n, folder, options.arms, options.set)) for n in names]
    samples = measure(sizes=SIZES[:3], repeats=2) if options.smoke else measure()
    calibration = write("crypten", fit(samples), samples, folder / "2pc-crypten.json")
    for name, study, snapshots in studies:
        rows = rows_of(name, study, front_of(snapshots), calibration, repeats, options.images)
        for line in (*rows, summary(name, rows)):
            text = json.dumps(line)
            print(text, flush=True)
            if options.out:
                options.out.parent.mkdir(parents=True, exist_ok=True)
                with options.out.open("a", encoding="utf-8") as file:
                    file.write(text + "\n")


if __name__ == "__main__":
    main()
