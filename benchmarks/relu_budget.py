"""Which ReLUs to keep: learned placement against its baselines at equal budget and equal training.

Every cell is one study of one trial: a data set, what replaces a dropped ReLU, an arm (method), a
budget in % of the ReLUs, and a seed. All arms start from the same teacher and take the same number
of epochs with the same distillation; the count of each network must equal the budget exactly. The
values of options were picked by validation accuracy (docs/decisions/0013 says what was seen of the
test split meanwhile); each cell measures the test split once, and the figures compare test
accuracies, paired by seed.

One JSON line per cell goes to ``--out``, and cells found there are not run again, so a stopped run
goes on where it was. Last comes one summary line per data set.

Run: ``python benchmarks/relu_budget.py --jobs 2 [--data fashion_mini ...] [--smoke]``
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

OUT = Path(__file__).parent / "results" / "relu_budget.jsonl"

ARMS: Mapping[str, Mapping[str, Any]] = {
    "autorep": {"name": "autorep"},
    "autorep_published": {
        "name": "autorep", "indicator_init": "uniform", "budget_schedule": "constant",
        "budget_weight": 140.0, "weight_growth": 0.0,
    },
    "snl": {"name": "snl"},
    "random": {"name": "random_masks"},
    "even": {"name": "layer_masks", "where": "even"},
    "last": {"name": "layer_masks", "where": "last"},
    "snip": {"name": "snip_masks"},
}  # fmt: skip

BLIND = "random"
"""The arm that stands for all where there is no choice: at 0 and at 100 %."""


@dataclass(frozen=True)
class Setting:
    """A data set with its network, and which cells are run by default.

    Args:
        network: section ``workload.network``.
        data: section ``workload.data``.
        arms: replacement -> arm -> budgets in %, besides 0 (both replacements) and 100.
    """

    network: Mapping[str, Any]
    data: Mapping[str, Any]
    arms: Mapping[str, Mapping[str, tuple[float, ...]]]


def at(budgets: tuple[float, ...], *arms: str) -> dict[str, tuple[float, ...]]:
    """Each of ``arms`` at each of ``budgets``."""
    return dict.fromkeys(arms, budgets)


# The whole ladder for the arms of the claims; the other baselines where budgets are small, so that
# the default grid takes about 40 minutes on two idle cores.
LADDER, SMALL = (40.0, 20.0, 10.0, 5.0, 2.0), (10.0, 5.0, 2.0)

SETTINGS = {
    "fashion_mini": Setting(
        {"name": "resnet_tiny"},
        {"name": "fashion_mini"},
        {
            "identity": at(LADDER, "autorep", "snl", "random") | at(SMALL, "even", "last", "snip"),
            "poly2": at(LADDER, "autorep", "random") | at(SMALL, "snl"),
        },
    ),
    "skimage_patches": Setting(
        {"name": "resnet_tiny", "first_stride": 2},
        {"name": "skimage_patches"},
        {
            "identity": at((5.0,), "autorep", "snl", "random", "even", "last", "snip"),
            "poly2": at((5.0,), "autorep", "snl", "random"),
        },
    ),
    "fashion_mnist": Setting(
        {"name": "resnet_tiny", "width": 12, "first_stride": 2},
        {"name": "fashion_mnist", "train": 12000, "validation": 3000},
        {"identity": at((5.0,), "autorep", "snl", "random"), "poly2": at((5.0,), "autorep")},
    ),
    "smoke": Setting(
        {"name": "resnet_tiny", "width": 2},
        {"name": "digits"},
        {"identity": at((5.0,), "autorep", "snl", "random"), "poly2": at((5.0,), "autorep")},
    ),
}


@dataclass(frozen=True)
class Cell:
    """One trial: see the module's docstring."""

    data: str
    replacement: str
    arm: str
    budget: float
    seed: int
    epochs: float

    @property
    def key(self) -> str:
        """Equal for equal cells; epochs count, options of the arms do not."""
        return json.dumps(asdict(self), sort_keys=True)


def cells_of(name: str, options: argparse.Namespace) -> Iterator[Cell]:
    """The cells of data set ``name``, seed by seed, so that a stopped run is still paired."""
    for seed in range(options.first, options.first + options.seeds):
        yield Cell(name, "identity", BLIND, 100.0, seed, options.epochs)
        for replacement, own in SETTINGS[name].arms.items():
            yield Cell(name, replacement, BLIND, 0.0, seed, options.epochs)
            for arm in options.arms or own:
                ladder = options.budgets or own.get(arm, own["autorep"])
                for budget in ladder:
                    if 0 < budget < 100:
                        yield Cell(name, replacement, arm, budget, seed, options.epochs)


def spec_of(cell: Cell, folder: Path, teacher_epochs: int) -> dict[str, Any]:
    """The study of ``cell``."""
    setting = SETTINGS[cell.data]
    label = f"{cell.replacement}-{cell.arm}-{cell.budget:g}-{cell.seed}"
    return {
        "study": {"name": f"{cell.data}-{label}", "seed": cell.seed, "directory": str(folder)},
        "workload": {
            "name": "image_classification",
            "network": dict(setting.network),
            "data": dict(setting.data),
            "teacher": {"epochs": teacher_epochs},
        },
        "space": {
            "name": "relu_placement",
            "granularity": "pixel",
            "activations": ["relu", cell.replacement],
        },
        "method": {**ARMS[cell.arm], "relu_budget": cell.budget},
        "objectives": ["accuracy", "relu_count"],
        "ladder": [
            {
                "rung": "train",
                "budget": {"epochs": cell.epochs},
                "evaluators": ["accuracy", "relu_count"],
            }
        ],
        "searcher": "random",
        "budget": {"trials": 1},
        "runner": "inline",
    }


def run_cell(cell: Cell, teacher_epochs: int) -> dict[str, Any]:
    """Run the study of ``cell`` and describe its one trial."""
    from search import Study
    from search.config import parse_spec

    started, cpu = time.perf_counter(), time.process_time()
    with tempfile.TemporaryDirectory(prefix="relu-budget-") as folder:
        study = Study.from_spec(parse_spec(spec_of(cell, Path(folder), teacher_epochs)))
        snapshot = study.run()
        (trial,) = snapshot.trials
        if trial.status != "complete" or trial.outcome is None:
            told = trial.outcome.error if trial.outcome else ""
            raise RuntimeError(f"{cell}: the trial is {trial.status}: {told}")
        found = {(m.metric, m.split): m.value for m in trial.outcome.measurements}
        notes = trial.outcome.notes
    total = sum(s.elements for s in snapshot.sites if s.kind == "activation")
    kept = next(v for (metric, _), v in found.items() if metric == "relu_count")
    if kept != round(cell.budget / 100 * total):
        raise RuntimeError(f"{cell}: {kept:g} of {total} ReLUs are kept")
    return {
        "claim": "relu_budget",
        **asdict(cell),
        "relus": int(kept),
        "relus_total": total,
        "validation": round(found["accuracy", "validation"], 3),
        "test": round(found["accuracy", "test"], 3),
        "unit": "%",
        "evidence": "measured",
        "gradient_evaluations": notes["gradient_evaluations"],
        "kept": notes["relus_kept"],
        "while_learning": notes.get("relus_while_learning"),
        "seconds": round(time.perf_counter() - started, 1),
        "cpu_seconds": round(time.process_time() - cpu, 1),
    }


def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)


def _task(work: tuple[Cell, int]) -> dict[str, Any]:
    return run_cell(*work)


def run_cells(cells: Sequence[Cell], jobs: int, teacher_epochs: int, out: Path | None) -> None:
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


def summary(rows: Sequence[Mapping[str, Any]], data: str, epochs: float) -> dict[str, Any]:
    """What the benchmark claims, from the cells of one data set; None where cells are missing."""
    table: dict[tuple[str, str, float], dict[int, float]] = {}
    for r in rows:
        if r["data"] == data and r["epochs"] == epochs:
            table.setdefault((r["replacement"], r["arm"], r["budget"]), {})[r["seed"]] = r["test"]

    def of(replacement: str, arm: str, budget: float) -> dict[int, float]:
        return table.get((replacement, arm, budget), {})

    relu, linear = of("identity", BLIND, 100), of("identity", BLIND, 0)
    line: dict[str, Any] = {
        "claim": "relu_budget",
        "summary": data,
        "epochs": epochs,
        "unit": "% (test accuracy; differences in points, mean and paired standard error)",
        "seeds": len(relu),
        "relu": _mean(relu),
        "linear": _mean(linear),
        "polynomial": _mean(of("poly2", BLIND, 0)),
        "arms": {
            f"{replacement} {arm}": {
                f"{b:g}": _mean(cells)
                for (rep, a, b), cells in sorted(table.items(), key=lambda c: -c[0][2])
                if (rep, a) == (replacement, arm) and 0 < b < 100
            }
            for replacement, arm in sorted({(r, a) for r, a, b in table if 0 < b < 100})
        },
    }
    for budget in (5, 2):
        ours, snl = of("identity", "autorep", budget), of("identity", "snl", budget)
        random, dapa = of("identity", BLIND, budget), of("poly2", "autorep", budget)
        at = f"at_{budget}"
        line[f"autorep_minus_random_{at}"] = difference(ours, random)
        line[f"snl_minus_random_{at}"] = difference(snl, random)
        line[f"recovered_range_ratio_autorep_{at}"] = ratio(ours, random, relu, linear)
        line[f"recovered_range_ratio_snl_{at}"] = ratio(snl, random, relu, linear)
        line[f"autorep_minus_snl_{at}"] = difference(ours, snl)
        line[f"dapa_minus_relu_{at}"] = difference(dapa, relu)
        line[f"dapa_minus_snl_{at}"] = difference(dapa, snl)
        line[f"dapa_autorep_minus_dapa_snl_{at}"] = difference(dapa, of("poly2", "snl", budget))
        line[f"dapa_autorep_minus_dapa_random_{at}"] = difference(dapa, of("poly2", BLIND, budget))
    return line


def difference(ours: Mapping[int, float], theirs: Mapping[int, float]) -> dict[str, Any] | None:
    """Mean of the differences by seed and its standard error, in points."""
    both = sorted(ours.keys() & theirs.keys())
    if not both:
        return None
    found = [ours[s] - theirs[s] for s in both]
    error = statistics.stdev(found) / math.sqrt(len(found)) if len(found) > 1 else None
    return {
        "mean": round(statistics.mean(found), 3),
        "standard_error": None if error is None else round(error, 3),
        "wins": sum(d > 0 for d in found),
        "seeds": len(found),
    }


def ratio(*arms: Mapping[int, float]) -> dict[str, Any] | None:
    """Recovered range of the first arm over that of the second: means, and per seed.

    The recovered range is (accuracy - linear) / (ReLU - linear), so the denominators cancel.
    """
    ours, theirs, _, linear = arms
    both = sorted(set.intersection(*(set(a) for a in arms)))
    if not both:
        return None
    top, bottom = ([arm[s] - linear[s] for s in both] for arm in (ours, theirs))
    if min(bottom) <= 0:
        return None  # the second arm is no better than the linear network
    return {
        "ratio": round(statistics.mean(top) / statistics.mean(bottom), 3),
        "per_seed": [round(a / b, 3) for a, b in zip(top, bottom, strict=True)],
    }


def _mean(cells: Mapping[int, float]) -> float | None:
    return round(statistics.mean(cells.values()), 3) if cells else None


def emit(line: Mapping[str, Any], out: Path | None, prefix: str = "") -> None:
    text = json.dumps(line)
    print(prefix + text, flush=True)
    if out is not None:
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
    parser.add_argument("--data", nargs="+", choices=SETTINGS, default=list(SETTINGS)[:3])
    parser.add_argument("--arms", nargs="+", choices=ARMS, help="default: those of the data set")
    parser.add_argument("--budgets", nargs="+", type=float, help="in %% of the ReLUs")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first", type=int, default=0, help="first seed")
    parser.add_argument("--epochs", type=float, default=7.0, help="for masks and fine-tuning")
    parser.add_argument("--teacher-epochs", type=int, default=20)
    parser.add_argument("--jobs", type=int, default=2, help="worker processes of one thread")
    parser.add_argument("--out", type=Path, default=OUT, help="lines go here; cells in it are kept")
    parser.add_argument("--dry", action="store_true", help="count the cells, run none")
    parser.add_argument("--smoke", action="store_true", help="one seed of the smallest study")
    options = parser.parse_args()
    if options.smoke:
        options.data, options.seeds, options.epochs, options.teacher_epochs = ["smoke"], 1, 2.0, 2
        options.out = Path(tempfile.mkdtemp(prefix="relu-budget-")) / "smoke.jsonl"
    known = {_key(row) for row in read(options.out)}
    cells = list(dict.fromkeys(c for name in options.data for c in cells_of(name, options)))
    left = [c for c in cells if c.key not in known]
    print(f"{len(cells)} cells, {len(left)} to run", flush=True)
    if options.dry:
        return
    run_cells(left, options.jobs, options.teacher_epochs, options.out)
    rows = read(options.out)
    for name in options.data:
        emit(summary(rows, name, options.epochs), options.out)


def _key(row: Mapping[str, Any]) -> str:
    return Cell(**{name: row[name] for name in Cell.__dataclass_fields__}).key


if __name__ == "__main__":
    main()
