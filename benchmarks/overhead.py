"""Overhead of an empty trial: ours in every runner against bare Optuna, same sampler and storage.

Prints one JSON line per case (unit: ms of wall-clock per trial, median over repetitions; cpu: ms
of the driver's CPU time). Run: ``python benchmarks/overhead.py [--smoke] [--runners inline ...]``.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import optuna

from evaluators.function import FunctionEvaluator
from search import Metric, Param, Real, Study
from search.registry import load
from spaces.parameters import ParameterSpace

N_PARAMS = 10
PARAMS = tuple(Param(f"x{i}", Real(0.0, 1.0)) for i in range(N_PARAMS))
METRICS = (Metric("a", "1", "min", "first"), Metric("b", "1", "min", "second"))


def empty(candidate: object) -> dict[str, float]:
    return {"a": 0.0, "b": 1.0}


def storage_url(kind: str, folder: Path) -> str:
    return "journal" if kind == "journal" else f"sqlite:///{folder}/study.db"


def bare(kind: str, trials: int, folder: Path) -> tuple[float, float]:
    """Optuna's own ask and tell with the same sampler, parameters and storage."""
    if kind == "journal":
        backend = optuna.storages.journal.JournalFileBackend(str(folder / "bare.journal"))
        storage: optuna.storages.BaseStorage = optuna.storages.JournalStorage(backend)
    else:
        storage = optuna.storages.RDBStorage(f"sqlite:///{folder}/bare.db")
    study = optuna.create_study(
        storage=storage,
        sampler=optuna.samplers.RandomSampler(seed=0),
        directions=["minimize", "minimize"],
    )
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(trials):
        trial = study.ask()
        for param in PARAMS:
            trial.suggest_float(param.name, 0.0, 1.0)
        study.tell(trial, [0.0, 1.0])
    return (time.perf_counter() - wall) / trials, (time.process_time() - cpu) / trials


def ours(kind: str, trials: int, folder: Path, runner: str) -> tuple[float, float]:
    """The same trials as a study; start-up of the runner is left out by a first small run."""

    def study(n: int) -> Study:
        return Study(
            name=f"{runner}-{kind}",
            objectives=["a", "b"],
            space=ParameterSpace(PARAMS),
            evaluators=[FunctionEvaluator(empty, METRICS)],
            searcher="random",
            trials=n,
            directory=folder,
            storage=storage_url(kind, folder),
        )

    stamps: list[tuple[float, float]] = []
    options = {} if runner == "inline" else {"slots": 2}
    config = load("runner", runner)
    made = config.from_config(config.Config(**options), None)
    study(trials + 5).run(
        runner=made,
        callbacks=[lambda trial: stamps.append((time.perf_counter(), time.process_time()))],
    )
    first, last = stamps[4], stamps[-1]  # the first few pay for start-up
    count = len(stamps) - 5
    return (last[0] - first[0]) / count, (last[1] - first[1]) / count


def repeat(case: Callable[[Path], tuple[float, float]], times: int) -> tuple[float, float]:
    walls, cpus = [], []
    for _ in range(times):
        folder = Path(tempfile.mkdtemp(prefix="overhead-"))
        wall, cpu = case(folder)
        shutil.rmtree(folder, ignore_errors=True)
        walls.append(1e3 * wall)
        cpus.append(1e3 * cpu)
    return statistics.median(walls), statistics.median(cpus)


def command_seconds(arguments: list[str], times: int) -> float:
    seconds = []
    for _ in range(times):
        start = time.perf_counter()
        subprocess.run(arguments, check=True, capture_output=True)
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="a few trials, once")
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument(
        "--runners", nargs="*", default=["inline", "process", "ray_tasks", "ray_tune"]
    )
    parser.add_argument("--storages", nargs="*", default=["journal", "sqlite"])
    options = parser.parse_args()
    trials, times = (20, 1) if options.smoke else (options.trials, options.times)
    warnings.simplefilter("ignore")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    for kind in options.storages:
        n = trials if kind == "journal" else max(10, trials // 4)
        base, base_cpu = repeat(lambda folder: bare(kind, n, folder), times)  # noqa: B023
        report("bare optuna", kind, n, base, base_cpu, base)
        for runner in options.runners:
            m = max(10, n // 10) if runner == "ray_tune" else n
            wall, cpu = repeat(lambda folder: ours(kind, m, folder, runner), times)  # noqa: B023
            report(runner, kind, m, wall, cpu, base)
    search = str(Path(sys.executable).with_name("search"))
    config = str(Path(__file__).parents[1] / "configs" / "polympcnet.yaml")
    for name, arguments, limit in (
        ("search --help", [search, "--help"], 0.5),
        ("search check", [search, "check", config], 1.5),
    ):
        seconds = command_seconds(arguments, times + 2)
        line = {"case": name, "value": round(seconds, 3), "unit": "s", "limit": limit}
        print(json.dumps({**line, "evidence": "measured"}), flush=True)


def report(case: str, kind: str, n: int, wall: float, cpu: float, base: float) -> None:
    line = {
        "case": case, "storage": kind, "params": N_PARAMS, "trials": n, "value": round(wall, 3),
        "unit": "ms per trial", "cpu_driver_ms": round(cpu, 3), "ratio": round(wall / base, 3),
        "more_ms": round(wall - base, 3), "evidence": "measured",
    }  # fmt: skip
    print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
