"""Pruning LeNet-5 by ADMM against pruning by magnitude, at equal training, on all of Fashion-MNIST.

Arms, all from the same trained network of their seed, each with the same number of epochs:

- ``admm``: copies and duals updated every 20 steps, hard map, masked retraining;
- ``progressive``: the same in many short rounds;
- ``gradual``: by magnitude on the cubic schedule, then masked retraining;
- ``one_shot``: by magnitude at once, then masked retraining with all epochs.

``--curvature`` is the methods' option; without it each has its own default: what stays is chosen in
the norm of Adam by ADMM in rounds, by size alone by the others.

The shares that layers keep are set by hand, at 71x those of the paper. ``ARM+lamp`` keeps those of
layer-adaptive magnitude pruning instead, which the trained weights give without a trial.
``ARM+searched`` keeps those that a search found at the paper's ratio: the paper's, three that the
advisor ``pruning_shares`` reads off the weights, then annealing; 16 trials of gradual pruning with
three epochs (with one, shares are chosen that learn fast and end worse), on the validation split of
seed 0; the best three are trained again with seed 1, and the best mean is kept. ``quantised`` adds
levels of 3 and 4 bits to ADMM at 71x; ``purified`` prunes filters and columns to 8x and purifies.

Accuracy is that of the test split, measured once for each network; options were chosen on the
validation split. Prints one JSON line per network, then the summary: accuracy by ratio,
differences with their paired standard error, and the largest ratio at 0.5 and 1 point of loss
(interpolated on a log scale between measured ratios), each for one number of epochs and one norm.

Run: ``python benchmarks/admm_lenet5.py [--seeds 3] [--ratios 24 71] [--epochs 6] [--out FILE]
[--smoke]``; goes on where FILE ends.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from admm_lenet5_summary import summary

RESULTS = Path(__file__).parent / "results" / "admm_lenet5.jsonl"
LAYERS = ("conv1", "conv2", "fc1", "fc2")
# Kept shares by layer. 71: Zhang et al. (ECCV 2018), released code; the others scaled from it.
VECTORS: dict[int, tuple[float, ...]] = {
    24: (0.5, 0.2, 0.03, 0.2),
    71: (0.2, 0.08, 0.009, 0.07),
    120: (0.2, 0.05, 0.005, 0.05),
    246: (0.15, 0.025, 0.0022, 0.03),
}
ARMS = ("admm", "progressive", "gradual", "one_shot")
EXTRA = ("quantised", "purified")
"""Arms at one ratio only, as those with shares that were searched."""
SEARCH_RATIO, SEARCH_TRIALS, CONFIRMED = 71, 16, 3


@dataclass(frozen=True)
class Scale:
    """How large the comparison is."""

    network: str
    data: str
    teacher_epochs: float
    epochs: float
    layers: tuple[str, ...] = LAYERS


FULL = Scale("lenet5_caffe", "fashion_mnist", 8, 6)
SEARCH_EPOCHS = 3
SMOKE = Scale("tiny_cnn", "digits", 4, 2, ("conv1", "conv2", "conv3", "classifier"))


@dataclass(frozen=True)
class Job:
    """One network to prune."""

    scale: Scale
    arm: str
    ratio: int
    seed: int
    keep: tuple[float, ...]
    bits: tuple[int, ...] = ()
    curvature: float = 0.0

    @property
    def label(self) -> tuple[str, int, int, float, float]:
        """What identifies its line."""
        return (self.arm, self.ratio, self.seed, self.scale.epochs, self.curvature)


def workload_of(scale: Scale, seed: int) -> Any:
    """Network, data and the training of the unpruned network, which has a seed of its own."""
    from search.workloads.image import ImageClassification

    teacher = {"epochs": scale.teacher_epochs, "learning_rate": 1e-3, "optimizer": "adam",
               "weight_decay": 0.0, "seed": seed}  # fmt: skip
    return ImageClassification(scale.network, scale.data, teacher=teacher)


def plan_of(workload: Any, job: Job) -> Any:
    """The plan that keeps the job's shares."""
    from spaces.pruning.plan import LayerLevels, LayerPruning, PruningPlan, Schedule

    sites = {s.name: s for s in workload.sites() if s.weights}
    weights = {name: site.weights for name, site in sites.items()}
    if job.arm == "purified":
        return PruningPlan(tuple(structured_entries(sites)), (), Schedule())
    keep = job.keep or lamp_shares(workload, job.ratio)
    layers = tuple(
        LayerPruning(site, "element", max(1, round(k * weights[site])), weights[site])
        for site, k in zip(job.scale.layers, keep, strict=True)
    )
    levels = tuple(
        LayerLevels(site, bits, "equal")
        for site, bits in zip(job.scale.layers, job.bits, strict=False)
    )
    return PruningPlan(layers, levels, Schedule())


def lamp_shares(workload: Any, ratio: float) -> tuple[float, ...]:
    """Shares by layer-adaptive magnitude of the workload's trained network."""
    from search.methods.pruning.allocation import Allocation
    from search.methods.pruning.masks import layer_weights
    from search.methods.teacher import load_teacher
    from search.testing.recorder import Recorder
    from spaces.pruning.space import PruningRatio

    space = PruningRatio.from_config(PruningRatio.Config(ratio=ratio), workload)
    with tempfile.TemporaryDirectory(prefix="admm-") as folder:
        network = load_teacher(workload, Recorder(Path(folder), 0)).network
    return Allocation(space, layer_weights(network), "lamp").shares(space.allowed or 0)


def structured_entries(sites: dict[str, Any]) -> Iterator[Any]:
    """Filters and columns of every layer, to an eighth of the weights."""
    from spaces.pruning.plan import LayerPruning

    shares = {"conv1": (0.6, 0.8), "conv2": (0.5, 0.5), "fc1": (0.35, 0.3), "fc2": (1.0, 0.6)}
    for name, (rows, columns) in shares.items():
        site = sites[name]
        filters = site.output_shape[0]
        wide = site.weights // filters
        yield LayerPruning(name, "filter", max(1, round(rows * filters)), filters)
        yield LayerPruning(name, "column", max(1, round(columns * wide)), wide)


class OnePlan:
    """A space of one plan."""

    kind = "pruning_ratio"

    def __init__(self, plan: Any) -> None:
        self._plan = plan

    def build(self, point: Any) -> Any:
        """The plan."""
        return self._plan


def method_of(workload: Any, job: Job) -> Any:
    """The arm's method."""
    from search.methods.pruning.admm import Admm
    from search.methods.pruning.magnitude import MagnitudePruning
    from search.methods.pruning.progressive import ProgressiveAdmm

    name = job.arm.split("+")[0]
    if name in ("gradual", "one_shot"):
        return MagnitudePruning(workload, way=name, curvature=job.curvature)
    return (ProgressiveAdmm if name == "progressive" else Admm)(workload, curvature=job.curvature)


def run(job: Job) -> dict[str, Any]:
    """Prune one network, and measure it."""
    import torch

    torch.set_num_threads(1)
    from evaluators.accuracy import count_correct
    from evaluators.pruning.sparsity import Sparsity
    from search.api.metric import Fidelity
    from search.methods.teacher import load_teacher
    from search.testing.recorder import Recorder
    from search.workloads.plan import network_of

    started = time.process_time()
    workload = workload_of(job.scale, job.seed)
    with tempfile.TemporaryDirectory(prefix="admm-") as folder:
        ctx = Recorder(Path(folder), job.seed)
        teacher = load_teacher(workload, ctx)
        data = workload.data
        dense = count_correct(teacher.network, data.test, batch_size=500, device="cpu")
        rung = Fidelity("full", 0, {"epochs": job.scale.epochs})
        plan = plan_of(workload, job)
        made = method_of(workload, job).produce(OnePlan(plan), {}, rung, ctx, None)
        extra: dict[str, Any] = {}
        if job.arm == "purified":
            made, extra = purified(made, workload, ctx)
        network = network_of(workload, plan, made.weights)
        accuracy = {}
        for name in ("validation", "test"):
            split = getattr(data, name)
            correct = count_correct(network, split, batch_size=500, device="cpu")
            accuracy[name] = round(100.0 * correct / len(split), 3)
        counted = Sparsity(workload.sites()).evaluate(made, rung, ctx)
    return {
        "claim": "admm_lenet5", "arm": job.arm, "ratio": job.ratio, "seed": job.seed,
        "keep": [float(f"{e.kept / e.units:.4g}") for e in plan.layers], "bits": list(job.bits),
        "test_accuracy": accuracy["test"], "validation_accuracy": accuracy["validation"],
        "dense_test_accuracy": round(100.0 * dense / len(data.test), 3),
        "unit": "%", "evidence": "measured", "epochs": job.scale.epochs,
        "curvature": job.curvature,
        "counted": {m.metric: round(m.value, 3) for m in counted},
        "notes": ctx.notes, **extra, "cpu_seconds": round(time.process_time() - started, 1),
    }  # fmt: skip


def purified(made: Any, workload: Any, ctx: Any) -> tuple[Any, dict[str, Any]]:
    """The candidate without nearly empty groups and unused paths; blocks before and after."""
    from evaluators.accuracy import count_correct
    from evaluators.pruning.crossbar import Crossbar
    from evaluators.pruning.sparsity import Sparsity
    from search.api.candidate import Candidate
    from search.api.metric import Fidelity
    from search.methods.pruning.options import Purification
    from search.methods.pruning.purify import purify
    from search.workloads.plan import network_of, save_weights

    network = network_of(workload, made.payload, made.weights)
    test = workload.data.test
    before = 100.0 * count_correct(network, test, batch_size=500, device="cpu") / len(test)
    for name, value in purify(network, workload, Purification(), ctx).items():
        ctx.note(name, value)
    path = save_weights(network, ctx.workdir / "purified.safetensors")
    after = Candidate(made.kind, made.payload, path)
    rung, found = Fidelity("full", 0), {}
    for word, candidate in (("before", made), ("after", after)):
        for evaluator in (Crossbar(workload.sites()), Sparsity(workload.sites())):
            for m in evaluator.evaluate(candidate, rung, ctx):
                found[f"{m.metric}_{word}"] = round(m.value, 4)
    return after, {"purification": found, "test_accuracy_before": round(before, 3)}


def jobs_of(options: argparse.Namespace) -> list[Job]:
    """Every network asked for, most telling ones first."""
    if options.smoke:
        keep = (0.5, 0.2, 0.2, 0.5)
        return [_job(SMOKE, arm, 5, 0, keep, None) for arm in ("admm", "gradual")] + [
            replace(_job(SMOKE, "quantised", 5, 0, keep, None), bits=(4,) * 4)
        ]
    scale, found = replace(FULL, epochs=options.epochs), []
    seeds, curvature = range(options.seeds), options.curvature
    arms = [arm for arm in options.arms if arm.endswith("+searched")]
    if arms:
        keep = searched_keep(options.out or RESULTS)
        found += [_job(scale, a, SEARCH_RATIO, s, keep, curvature) for s in seeds for a in arms]
    if "quantised" in options.arms:
        found += [
            replace(_job(scale, "quantised", 71, s, VECTORS[71], curvature), bits=(4, 4, 3, 4))
            for s in seeds
        ]
    if "purified" in options.arms:
        found += [_job(scale, "purified", 8, s, (), curvature) for s in seeds]
    for ratio in sorted(options.ratios, key=lambda r: (r != 71, r)):
        by_hand = VECTORS[ratio]
        found += [
            _job(scale, a, ratio, seed, () if a.endswith("+lamp") else by_hand, curvature)
            for seed in seeds
            for a in options.arms
            if a not in EXTRA and not a.endswith("+searched")
        ]
    return found


def _job(
    scale: Scale, arm: str, ratio: int, seed: int, keep: tuple[float, ...], curvature: float | None
) -> Job:
    """A job; its norm is that of its method where none is asked for."""
    if curvature is None:
        from search.methods.pruning.options import PruningOptions
        from search.methods.pruning.progressive import ProgressiveOptions

        in_rounds = arm.split("+")[0] == "progressive"
        curvature = (ProgressiveOptions if in_rounds else PruningOptions)().curvature
    return Job(scale, arm, ratio, seed, keep, curvature=curvature)


def searched_keep(out: Path) -> tuple[float, ...]:
    """Shares found by a search at the paper's ratio; kept in ``out`` once found."""
    for row in map(
        json.loads, out.read_text(encoding="utf-8").splitlines() if out.exists() else ()
    ):
        if "searched_keep" in row:
            return tuple(row["searched_keep"])
    began = time.process_time()
    trials = search_trials()
    shares = {keep: [value] for keep, value in sorted(trials, key=lambda t: -t[1])[:CONFIRMED]}
    scale = replace(FULL, epochs=SEARCH_EPOCHS)
    for keep, values in shares.items():
        found = run(Job(scale, "gradual", SEARCH_RATIO, 1, keep))
        values.append(found["validation_accuracy"])
    keep = max(shares, key=lambda k: statistics.mean(shares[k]))
    row = {"claim": "admm_lenet5", "searched_keep": keep, "ratio": SEARCH_RATIO,
           "trials": [[[round(k, 5) for k in keep], value] for keep, value in trials],
           "confirmed": [[[round(k, 5) for k in keep], *values] for keep, values in shares.items()],
           "cpu_seconds": round(time.process_time() - began, 1)}  # fmt: skip
    out.parent.mkdir(parents=True, exist_ok=True)
    with out.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(row) + "\n")
    return keep


def search_trials() -> list[tuple[tuple[float, ...], float]]:
    """(kept shares, accuracy in % on the validation split) of every trial; the first by hand."""
    from search import Study

    with tempfile.TemporaryDirectory(prefix="admm-search-") as folder:
        study = Study(
            name="keep", directory=folder, workload=workload_of(FULL, 0), objectives=["accuracy"],
            space={"name": "pruning_ratio", "ratio": SEARCH_RATIO, "spend": 0.98},
            method="magnitude_pruning",
            ladder=[{"rung": "train", "budget": {"epochs": SEARCH_EPOCHS},
                     "evaluators": ["accuracy"]}],
            searcher={"name": "advised", "advisor": "pruning_shares", "share": 1, "fallback": {
                "name": "annealing", "initial": 1, "perturbation": 0.12, "least": 0.04}},
            trials=SEARCH_TRIALS,
        )  # fmt: skip
        study.suggest({"keep": VECTORS[SEARCH_RATIO]}, "the paper's shares")
        study.run()
        return [
            (tuple(e["kept"] / e["units"] for e in t.outcome.candidate["payload"]["layers"]),
             t.values[0])
            for t in study.trials() if t.values
        ]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smoke", action="store_true")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--ratios", type=int, nargs="+", default=list(VECTORS))
    parser.add_argument("--arms", nargs="+", default=list(ARMS))
    parser.add_argument("--epochs", type=float, default=FULL.epochs)
    parser.add_argument("--curvature", type=float, help="default: each method's own")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--out", type=Path, help="JSON lines to add to and go on from")
    options = parser.parse_args()
    out = options.out or (None if options.smoke else RESULTS)
    rows = _known(out)
    done = {(r["arm"], r["ratio"], r["seed"], r["epochs"], r["curvature"]) for r in rows}
    left = [job for job in jobs_of(options) if job.label not in done]
    with ProcessPoolExecutor(options.jobs, mp_context=get_context("spawn")) as pool:
        for row in pool.map(run, left):
            rows.append(row)
            print(json.dumps(row), flush=True)
            if out is not None:
                out.parent.mkdir(parents=True, exist_ok=True)
                with out.open("a", encoding="utf-8") as stream:
                    stream.write(json.dumps(row) + "\n")
    print(json.dumps(summary(rows)))


def _known(out: Path | None) -> list[dict[str, Any]]:
    if out is None or not out.exists():
        return []
    rows = map(json.loads, out.read_text(encoding="utf-8").splitlines())
    return [row for row in rows if "arm" in row]


if __name__ == "__main__":
    main()
