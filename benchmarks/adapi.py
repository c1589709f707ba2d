"""AdaPI's nested networks against separate models, and against nesting by magnitude.

Arms, each at the same number of epochs per model, from one teacher, with the same distillation:

- ``adapi``: one set of weights with a member for each density, by ``configs/adapi.yaml``'s method.
- ``separate``: for each density a model of its own: masks learned for that density alone, then all
  of its weights trained. What nesting and freezing cost is the distance from here.
- ``magnitude`` and ``lamp``: nested like ``adapi``, but weights are ordered by |w| of the teacher
  (of the whole network, or relative to their layer) and ReLUs by mean |relu(x) - x|; the epochs
  that ``adapi`` spends on scores go to the training of members.

Accuracy is that of the test split; options were chosen on the validation split of seed 0. Storage
is bytes on disk: the one artefact, and the separate models as the project writes them, one dense
file each; ``sparse`` tells what they would take with only their own non-zero weights and a bit mask
(computed, no file). One JSON line per seed and arm, then the summary.

Run: ``python benchmarks/adapi.py [--seeds 3] [--jobs 2] [--out FILE] [--smoke]``
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from search.testing.recorder import Recorder

DENSITIES = (0.05, 0.1, 0.2, 0.4)
RESULTS = Path(__file__).parent / "results" / "adapi.jsonl"


@dataclass(frozen=True)
class Scale:
    """How large the comparison is: network, data, teacher, epochs per model and their split."""

    network: Any
    data: str
    teacher_epochs: int
    mask_epochs: float
    member_epochs: float
    separate_mask_epochs: float
    densities: tuple[float, ...] = DENSITIES

    @property
    def epochs(self) -> float:
        """Per model: a member's own, and its share of the epochs for scores."""
        return self.member_epochs + self.mask_epochs / len(self.densities)


FULL = Scale("resnet_tiny", "fashion_mini", 16, 24, 1, 4)
SMOKE = Scale({"name": "resnet_tiny", "width": 4}, "digits", 2, 2, 0.5, 0.5, (0.1, 0.4))
ARMS = ("adapi", "separate", "magnitude", "lamp")


def workload_of(scale: Scale) -> Any:
    from search.workloads.image import ImageClassification

    return ImageClassification(scale.network, scale.data, teacher={"epochs": scale.teacher_epochs})


def run(job: tuple[Scale, str, int]) -> dict[str, Any]:
    """One arm of one seed."""
    import torch

    torch.set_num_threads(1)
    scale, arm, seed = job
    started = time.perf_counter()
    workload = workload_of(scale)
    if arm == "separate":
        masks = scale.separate_mask_epochs
        parts = [
            train(scale, workload, seed, (d,), masks, scale.epochs - masks) for d in scale.densities
        ]
    elif arm == "adapi":
        parts = [
            train(scale, workload, seed, scale.densities, scale.mask_epochs, scale.member_epochs)
        ]
    else:
        parts = [train(scale, workload, seed, scale.densities, 0, scale.epochs, initial_scores=arm)]
    return {
        "claim": "adapi", "seed": seed, "arm": arm, "unit": "%", "evidence": "measured",
        "densities": list(scale.densities), "epochs_per_model": scale.epochs,
        "test_accuracy": [a for p in parts for a in p["test"]],
        "validation_accuracy": [a for p in parts for a in p["validation"]],
        "relus": [n for p in parts for n in p["relus"]],
        "nonzero_weights": [n for p in parts for n in p["weights"]],
        "gradient_evaluations": sum(p["spent"] for p in parts),
        "bytes": sum(p["bytes"] for p in parts) if arm != "separate"
        else sum(p["dense_bytes"] for p in parts),
        "sparse_bytes": sum(p["sparse_bytes"] for p in parts) if arm == "separate" else None,
        "seconds": round(time.perf_counter() - started, 1),
    }  # fmt: skip


def train(
    scale: Scale, workload: Any, seed: int, densities: Sequence[float], masks: float, each: float,
    **options: Any,
) -> dict[str, Any]:  # fmt: skip
    """One artefact: what its members score, and what it takes on disk."""
    from search.api.metric import Fidelity
    from search.methods.adapi import AdaPI
    from search.workloads.plan import network_of, save_weights
    from spaces.relu import ReluPlacement

    space = ReluPlacement(workload.sites(), "pixel", activations=("relu", "identity"))
    found: dict[str, Any] = {"test": [], "validation": [], "relus": [], "weights": []}
    with tempfile.TemporaryDirectory(prefix="adapi-") as folder:
        ctx = Recorder(Path(folder), seed)
        rung = Fidelity("train", 0, {"mask_epochs": masks, "member_epochs": each})
        method = AdaPI(workload, densities=tuple(densities), **options)
        made = method.produce(space, {}, rung, ctx, None)
        found["dense_bytes"] = found["sparse_bytes"] = 0
        for member in made.members:
            network = network_of(workload, member.payload, made.weights)
            found["test"].append(accuracy(network, workload.data.test))
            found["validation"].append(accuracy(network, workload.data.validation))
            works = member.payload.usage(workload.sites())
            found["relus"].append(int(sum(w.elements for w in works if w.operator == "relu")))
            nonzeros = sum(w.nonzeros for w in member.payload.weights)
            found["weights"].append(nonzeros)
            size = save_weights(network, Path(folder) / "dense.safetensors").stat().st_size
            found["dense_bytes"] += size
            found["sparse_bytes"] += sparse_size(size, network, nonzeros)
        found["bytes"] = ctx.notes["artefact_bytes"]
        found["spent"] = ctx.notes.get("gradient_evaluations", 0)
    return found


def sparse_size(dense: int, network: Any, nonzeros: int) -> int:
    """Bytes of a dense file when weights are kept as values and a bit mask, and masks as bits."""
    from search.workloads.masked import masks_of
    from search.workloads.nested import shared_weights

    entries = sum(w.numel() for w in shared_weights(network).values())
    elements = sum(m.numel() for m in masks_of(network).values())
    return dense - 4 * (entries - nonzeros) + entries // 8 - elements + elements // 8


def accuracy(network: Any, split: Any) -> float:
    """Top-1 accuracy in %."""
    from evaluators.accuracy import count_correct

    return round(100 * count_correct(network, split, batch_size=500, device="cpu") / len(split), 3)


def summary(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Mean over seeds of each arm, and by how much members lose and win, seed by seed."""
    arms = {a: sorted((r for r in rows if r["arm"] == a), key=lambda r: r["seed"]) for a in ARMS}
    densities = rows[0]["densities"]
    by_arm = {
        a: [column(found, k) for k in range(len(densities))] for a, found in arms.items()
    }  # arm -> density -> accuracy by seed
    strongest = max(("magnitude", "lamp"), key=lambda a: sum(map(statistics.mean, by_arm[a])))
    lost = [differences(by_arm["separate"][k], by_arm["adapi"][k]) for k in range(len(densities))]
    # Against whichever baseline is better at that density: stronger than any one of them.
    best = [
        max((by_arm[a][k] for a in ("magnitude", "lamp")), key=statistics.mean)
        for k in range(len(densities))
    ]
    won = [differences(by_arm["adapi"][k], best[k]) for k in range(len(densities))]
    one = statistics.mean(r["bytes"] for r in arms["adapi"])
    many = statistics.mean(r["bytes"] for r in arms["separate"])
    sparse = statistics.mean(r["sparse_bytes"] for r in arms["separate"])
    return {
        "claim": "adapi", "summary": "test accuracy, mean over seeds", "unit": "%",
        "seeds": len(arms["adapi"]), "densities": densities, "strongest_baseline": strongest,
        **{a: [round(statistics.mean(v), 2) for v in values] for a, values in by_arm.items()},
        "points_below_separate": [round(statistics.mean(d), 2) for d in lost],
        "points_below_separate_by_seed": lost,
        "points_above_best_baseline": [round(statistics.mean(d), 2) for d in won],
        "points_above_best_baseline_by_seed": won,
        "within_1_point_of_separate": all(statistics.mean(d) <= 1 for d in lost),
        "better_than_baselines": all(statistics.mean(d) > 0 for d in won),
        "bytes_one_artefact": round(one), "bytes_separate_dense": round(many),
        "bytes_separate_sparse_computed": round(sparse),
        "storage_ratio_dense": round(many / one, 2), "storage_ratio_sparse": round(sparse / one, 2),
        "host": platform.machine(), "python": platform.python_version(),
    }  # fmt: skip


def column(rows: Sequence[dict[str, Any]], index: int) -> list[float]:
    return [row["test_accuracy"][index] for row in rows]


def differences(more: Sequence[float], less: Sequence[float]) -> list[float]:
    return [round(a - b, 3) for a, b in zip(more, less, strict=True)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first", type=int, default=0, help="first seed")
    parser.add_argument("--jobs", type=int, default=2, help="processes at once")
    parser.add_argument("--out", type=Path, help=f"append the JSON lines here, such as {RESULTS}")
    parser.add_argument("--smoke", action="store_true", help="one seed of a tiny comparison")
    options = parser.parse_args()
    scale = SMOKE if options.smoke else FULL
    seeds = range(options.first, options.first + (1 if options.smoke else options.seeds))
    from search.methods.teacher import load_teacher

    with tempfile.TemporaryDirectory(prefix="adapi-teacher-") as folder:
        load_teacher(workload_of(scale), Recorder(Path(folder)))  # once, before the processes
    jobs = [(scale, arm, seed) for seed in seeds for arm in ARMS]
    rows = []
    with ProcessPoolExecutor(options.jobs, mp_context=get_context("spawn")) as pool:
        for row in pool.map(run, jobs):
            rows.append(row)
            emit(row, options.out)
    emit(summary(rows), options.out)


def emit(line: dict[str, Any], out: Path | None) -> None:
    text = json.dumps(line)
    print(text, flush=True)
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        with out.open("a", encoding="utf-8") as file:
            file.write(text + "\n")


if __name__ == "__main__":
    main()
