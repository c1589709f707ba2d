"""EVE: three modes in one set of weights, on a battery-free device, against three separate models.

Arms, with equal gradient evaluations for each model, from one teacher, with the same distillation,
8-bit weights, and patterns chosen in the same way:

- ``eve``: one family, all modes trained together by ``search/methods/eve``.
- ``separate``: for each mode a model of its own, which keeps as much but may choose and train
  weights for itself alone.

Accuracy is that of the test split. Then, without any training: what the device model says about
time, energy and memory (``device``), and how well the family does under harvested power when a
policy chooses the mode at each request, against the best single mode in hindsight, on several draws
of every trace. The dense network of the comparison keeps everything and may choose its own tiles
and loop order. One JSON line for the device, per seed and arm, and per trace, then the summary.
Options of the method were chosen on the validation split of seed 0. With ``--out`` arms that the
file has already are not run again.

Run: ``python benchmarks/eve.py [--seeds 3] [--jobs 2] [--out FILE] [--smoke]``
"""

from __future__ import annotations

import argparse
import itertools
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

RESULTS = Path(__file__).parent / "results" / "eve.jsonl"
PROFILE = "external_fram"
TRACES = ("steady_weak", "bursty_indoor", "solar")
POLICIES = ("answer_first", "adaptive", "single", "fixed:1", "fixed:2", "fixed:3", "oracle")
SWITCHING = ("answer_first", "adaptive")
"""Policies that choose the mode at run time; the second is the evaluator's default."""
FIRST_DRAW = 100
"""Lower draws were looked at while policies and deadlines were chosen."""
EXECUTION = {
    "tile_side": 4, "tile_filters": 8, "tile_channels": 32, "order": "reuse_W", "batch": 1
}  # fmt: skip
TILES = {
    "tile_side": (2, 4, 7), "tile_filters": (4, 8, 16), "tile_channels": (16, 32),
    "order": ("reuse_I", "reuse_W", "reuse_O"), "batch": (1, 2, 4),
}  # fmt: skip


@dataclass(frozen=True)
class Scale:
    """How large the comparison is.

    Args:
        network, data: the workload; the rest of ``teacher_epochs`` is the project's default.
        epochs: passes for each model.
        positions: of 9 kernel positions that each mode keeps, sparsest first.
        blocks: share of the linear layer's blocks that each mode keeps.
        requests: of one run under harvested power.
        deadlines_s: from a request on, and to the next request. The second is that of the claim:
            the energy of the densest mode over 1.67 mW, the mean power of the weakest trace, so
            that it can just be sustained there; the others show tighter and looser ones.
        draws: of every trace, numbered from :data:`FIRST_DRAW`.
    """

    network: Any
    data: Any
    teacher_epochs: int
    epochs: float
    positions: tuple[int, ...] = (3, 5, 6)
    blocks: tuple[float, ...] = (0.33, 0.55, 0.67)
    requests: int = 150
    deadlines_s: tuple[float, ...] = (25.0, 35.0, 50.0)
    draws: int = 12


FULL = Scale("tiny_cnn", {"name": "fashion_mnist", "train": 12000, "validation": 5000}, 10, 4)
SMOKE = Scale(
    {"name": "tiny_cnn", "widths": [4, 8]},
    "digits",
    2,
    0.5,
    requests=20,
    deadlines_s=(5.0, 10.0),
    draws=1,
)
ARMS = ("eve", "separate")


def workload_of(scale: Scale) -> Any:
    from search.workloads.image import ImageClassification

    teacher = {"epochs": scale.teacher_epochs, "learning_rate": 0.05}
    return ImageClassification(scale.network, scale.data, teacher=teacher)


def family_of(workload: Any, shares: Sequence[tuple[float, float]], **execution: Any) -> Any:
    """The family whose modes, sparsest first, keep these shares of positions and blocks."""
    from spaces.eve.space import EveSpace

    given = {**EXECUTION, **execution}
    space = EveSpace(
        workload.sites(),
        EveSpace.Config.model_validate({
            "modes": len(shares), "bits": 8, "pool": 8, "low": 0.05, "step_low": 0.01,
            "step_high": 1.0, "steps": "layer", "profile": None, **given,
        }),
    )  # fmt: skip
    per_layer = [
        tuple(share[layer.linear] for layer in space.layers) for share in reversed(shares)
    ]  # densest first
    point: dict[str, Any] = {"keep": per_layer[0]}
    if len(shares) > 1:
        point["steps"] = tuple(
            b / a
            for dense, sparse in itertools.pairwise(per_layer)
            for a, b in zip(dense, sparse, strict=True)
        )
    return space, point


def shares_of(scale: Scale) -> list[tuple[float, float]]:
    return [(p / 9, b) for p, b in zip(scale.positions, scale.blocks, strict=True)]


def run(job: tuple[Scale, str, int, dict[str, Any]]) -> dict[str, Any]:
    """One arm of one seed."""
    import torch

    torch.set_num_threads(1)
    scale, arm, seed, options = job
    started, cpu = time.perf_counter(), time.process_time()
    workload, shares = workload_of(scale), shares_of(scale)
    families = [shares] if arm == "eve" else [[share] for share in shares]
    parts = [train(scale, workload, seed, family, options) for family in families]
    return {
        "claim": "eve", "seed": seed, "arm": arm, "unit": "%", "evidence": "measured",
        "positions_of_9": list(scale.positions), "blocks": list(scale.blocks),
        "epochs_per_model": scale.epochs,
        "test_accuracy": [a for p in parts for a in p["test"]],
        "validation_accuracy": [a for p in parts for a in p["validation"]],
        "gradient_evaluations": sum(p["spent"] for p in parts),
        "file_bytes": sum(p["bytes"] for p in parts),
        "seconds": round(time.perf_counter() - started, 1),
        "cpu_seconds": round(time.process_time() - cpu, 1),
    }  # fmt: skip


def train(
    scale: Scale, workload: Any, seed: int, shares: Sequence[tuple[float, float]],
    options: dict[str, Any],
) -> dict[str, Any]:  # fmt: skip
    """One family: what its modes score."""
    from search.api.metric import Fidelity
    from search.methods.eve.method import Eve
    from search.workloads.plan import network_of

    space, point = family_of(workload, shares)
    found: dict[str, Any] = {"test": [], "validation": []}
    with tempfile.TemporaryDirectory(prefix="eve-") as folder:
        ctx = Recorder(Path(folder), seed)
        rung = Fidelity("train", 0, {"epochs": scale.epochs})
        made = Eve(workload, **options).produce(space, point, rung, ctx, None)
        for member in made.members:
            network = network_of(workload, member.payload, member.weights)
            found["test"].append(accuracy(network, workload.data.test))
            found["validation"].append(accuracy(network, workload.data.validation))
        found["bytes"] = ctx.notes["artefact_bytes"]
        found["spent"] = ctx.notes["gradient_evaluations"]
    return found


def accuracy(network: Any, split: Any) -> float:
    """Top-1 accuracy in %."""
    from evaluators.accuracy import count_correct

    return round(100 * count_correct(network, split, batch_size=500, device="cpu") / len(split), 3)


def on_device(scale: Scale) -> dict[str, Any]:
    """Time, energy and memory of the modes, and of the dense network at its best."""
    from spaces.eve.device.cost import mode_cost
    from spaces.eve.device.memory import family_memory
    from spaces.eve.device.table import load_profile

    workload, profile = workload_of(scale), load_profile(PROFILE)
    sites = workload.sites()
    space, point = family_of(workload, shares_of(scale))
    family = space.build(point)
    modes = [mode_cost(sites, mode, profile) for mode in family.members]
    names, dense = list(TILES), []
    for values in itertools.product(*TILES.values()):
        whole, everything = family_of(
            workload, [(1.0, 1.0)], **dict(zip(names, values, strict=True))
        )
        mode = whole.build(everything).members[0]
        dense.append((mode_cost(sites, mode, profile).latency_s, values, mode))
    best_s, tiles, best = min(dense, key=lambda entry: entry[0])
    same, everything = family_of(workload, [(1.0, 1.0)])
    same_s = mode_cost(sites, same.build(everything).members[0], profile)
    memory = family_memory(sites, family, profile)
    dense_j = mode_cost(sites, best, profile).energy_j
    return {
        "claim": "eve", "device": PROFILE, "evidence": "model",
        "latency_s": [round(m.latency_s, 2) for m in modes],
        "energy_mj": [round(1e3 * m.energy_j, 2) for m in modes],
        "power_cycles": [m.power_cycles for m in modes],
        "dense_latency_s": round(best_s, 2), "dense_energy_mj": round(1e3 * dense_j, 2),
        "dense_tiles": dict(zip(names, tiles, strict=True)),
        "dense_latency_same_tiles_s": round(same_s.latency_s, 2),
        "sparsest_faster_than_dense": round(best_s / modes[0].latency_s, 3),
        "sparsest_faster_same_tiles": round(same_s.latency_s / modes[0].latency_s, 3),
        "sparsest_energy_ratio": round(dense_j / modes[0].energy_j, 3),
        "family_bytes": memory.model, "separate_bytes": memory.separate,
        "memory_share_of_separate": round(memory.share, 4),
        "fram_bytes_with_code_and_buffers": memory.total,
    }  # fmt: skip


def harvested(job: tuple[Scale, str, Sequence[float]]) -> dict[str, Any]:
    """Deadline-met accuracy of every policy on one trace, mean over its draws."""
    from evaluators.device.intermittent import Job, Supply
    from evaluators.device.policies import policy_named
    from evaluators.device.prediction import Needs
    from evaluators.device.service import arrivals, serve
    from evaluators.device.traces import load_source
    from spaces.eve.device.cost import mode_cost
    from spaces.eve.device.table import load_profile

    scale, name, accuracies, deadline_s = job
    workload, profile = workload_of(scale), load_profile(PROFILE)
    space, point = family_of(workload, shares_of(scale))
    modes = space.build(point).members
    jobs = [Job.of(mode_cost(workload.sites(), mode, profile), profile) for mode in modes]
    supply = Supply.of(profile)
    needs = Needs(jobs, supply, deadline_s)
    scores: dict[str, list[float]] = {policy: [] for policy in POLICIES}
    answered: dict[str, list[int]] = {policy: [0] * len(modes) for policy in POLICIES}
    for draw in range(FIRST_DRAW, FIRST_DRAW + scale.draws):
        requests = arrivals(scale.requests, deadline_s, "periodic", draw)
        trace = load_source(name).draw(requests[-1] + deadline_s, draw)
        for policy in POLICIES:
            score = serve(
                trace, supply, jobs, accuracies, requests, deadline_s,
                policy_named(policy, len(modes)),
                needs=needs,
            )  # fmt: skip
            scores[policy].append(round(score.accuracy, 3))
            for k, count in enumerate(score.answered):
                answered[policy][k] += count
    fixed = max((p for p in POLICIES if p.startswith("fixed")),
                key=lambda p: statistics.mean(scores[p]))  # fmt: skip
    return {
        "claim": "eve", "trace": name, "unit": "%", "evidence": "simulated",
        "deadline_s": deadline_s, "requests": scale.requests,
        "deadline_met_accuracy": {p: round(statistics.mean(v), 2) for p, v in scores.items()},
        "by_draw": scores, "answered_by_mode": answered, "best_single_mode": fixed,
        "above_best_single_mode": {
            p: round(statistics.mean(scores[p]) - statistics.mean(scores[fixed]), 2)
            for p in SWITCHING
        },
        "above_best_by_draw": {
            p: [round(a - b, 2) for a, b in zip(scores[p], scores[fixed], strict=True)]
            for p in SWITCHING
        },
    }  # fmt: skip


def summary(
    rows: Sequence[dict[str, Any]], device: dict[str, Any], traces: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    """The claims, mean over seeds."""
    arms = {a: sorted((r for r in rows if r["arm"] == a), key=lambda r: r["seed"]) for a in ARMS}
    modes = range(len(rows[0]["positions_of_9"]))
    by_arm = {a: [[r["test_accuracy"][k] for r in found] for k in modes]
              for a, found in arms.items()}  # fmt: skip
    lost = [[round(s - e, 3) for s, e in zip(by_arm["separate"][k], by_arm["eve"][k], strict=True)]
            for k in modes]  # fmt: skip
    spent = {a: statistics.mean(r["gradient_evaluations"] for r in v) for a, v in arms.items()}
    return {
        "claim": "eve", "summary": "test accuracy, mean over seeds", "unit": "%",
        "seeds": len(arms["eve"]), "modes": "sparsest first",
        **{a: [round(statistics.mean(v), 2) for v in values] for a, values in by_arm.items()},
        "points_below_separate": [round(statistics.mean(d), 2) for d in lost],
        "points_below_separate_by_seed": lost,
        "gradient_evaluations": spent,
        "within_1_point_of_separate": all(statistics.mean(d) <= 1 for d in lost),
        "memory_share_of_separate": device["memory_share_of_separate"],
        "memory_at_most_45_percent": device["memory_share_of_separate"] <= 0.45,
        "sparsest_faster_than_dense": device["sparsest_faster_than_dense"],
        "at_least_2.5_times_faster": device["sparsest_faster_than_dense"] >= 2.5,
        "above_best_single_mode": {
            f"{t['trace']}, {t['deadline_s']:g} s": t["above_best_single_mode"] for t in traces
        },
        "better_on_all_traces": {
            f"{p}, {d:g} s": all(t["above_best_single_mode"][p] > 0 for t in traces
                                 if t["deadline_s"] == d)
            for p in SWITCHING for d in sorted({t["deadline_s"] for t in traces})
        },
        "host": platform.machine(), "python": platform.python_version(),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first", type=int, default=0, help="first seed")
    parser.add_argument("--jobs", type=int, default=2, help="processes at once")
    parser.add_argument("--out", type=Path, help=f"append the JSON lines here, such as {RESULTS}")
    parser.add_argument("--smoke", action="store_true", help="one seed of a tiny comparison")
    parser.add_argument("--options", type=json.loads, default={}, help="of the method, as JSON")
    options = parser.parse_args()
    scale = SMOKE if options.smoke else FULL
    seeds = range(options.first, options.first + (1 if options.smoke else options.seeds))
    from search.methods.teacher import load_teacher

    with tempfile.TemporaryDirectory(prefix="eve-teacher-") as folder:
        load_teacher(workload_of(scale), Recorder(Path(folder)))  # once, before the processes
    known = {(r["arm"], r["seed"]): r for r in read(options.out) if "arm" in r}
    jobs = [(scale, a, s, options.options) for s in seeds for a in ARMS]
    rows = [known[arm, seed] for _, arm, seed, _ in jobs if (arm, seed) in known]
    missing = [job for job in jobs if (job[1], job[2]) not in known]
    with ProcessPoolExecutor(options.jobs, mp_context=get_context("spawn")) as pool:
        device = on_device(scale)
        emit(device, options.out)
        for row in pool.map(run, missing):
            rows.append(row)
            emit(row, options.out)
        own = [r["test_accuracy"] for r in rows if r["arm"] == "eve"]
        means = [statistics.mean(values) for values in zip(*own, strict=True)]
        wanted = [(scale, n, means, d) for d in scale.deadlines_s for n in TRACES]
        traces = list(pool.map(harvested, wanted))
    for row in traces:
        emit(row, options.out)
    emit(summary(rows, device, traces), options.out)


def read(out: Path | None) -> list[dict[str, Any]]:
    if out is None or not out.is_file():
        return []
    return [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]


def emit(line: dict[str, Any], out: Path | None) -> None:
    text = json.dumps(line)
    print(text, flush=True)
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        with out.open("a", encoding="utf-8") as file:
            file.write(text + "\n")


if __name__ == "__main__":
    main()
