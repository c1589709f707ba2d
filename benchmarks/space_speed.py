"""What a point costs a search before anything is trained: drawing, repair, check, build.

Spaces of the shipped configurations, and the pruning ratios of a ResNet-18. Points are drawn from
the parameters, repaired, checked and built, as searchers do for every trial. Prints one JSON line
per space: ms of CPU time per call, medians over points, and the number of parameters.

Run: ``python benchmarks/space_speed.py [--smoke]``.
"""

from __future__ import annotations

import argparse
import json
import platform
import random
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from search.api.domain import sample_point
from search.config import parse_spec
from search.study import Study
from search.yaml_file import read_yaml

CONFIGS = Path(__file__).parents[1] / "configs"
NAMES = ("ckks_lenet", "ckks_resnet20", "admm_lenet5", "memristor", "eve")
DEEP = {"network": {"name": "resnet18"}, "data": "fashion_mini"}


def studies(smoke: bool) -> dict[str, Study]:
    """Name -> a study that is never run."""
    found = {}
    for name in NAMES[-1:] if smoke else NAMES:
        found[name] = Study.from_yaml(CONFIGS / f"{name}.yaml")
    if not smoke:
        plain = read_yaml(CONFIGS / "admm_lenet5.yaml")
        plain["workload"] = {"name": "image_classification", **DEEP}
        plain["space"] = {"name": "pruning_ratio", "structure": ["filter", "column"], "ratio": 10}
        plain.pop("baselines", None)
        found["pruning_ratio of resnet18"] = Study.from_spec(parse_spec(plain))
    return found


def timed(call: Callable[[Any], Any], given: list[Any]) -> tuple[float, list[Any]]:
    """Median ms of ``call``, and what it gave."""
    times, made = [], []
    for one in given:
        began = time.process_time()
        made.append(call(one))
        times.append(1e3 * (time.process_time() - began))
    return statistics.median(times), made


def measured(name: str, study: Study, points: int) -> dict[str, object]:
    """The line of one space."""
    rng, rules = random.Random(0), study.blueprint.rules
    drawn_ms, drawn = timed(lambda _: sample_point(study.params, rng), list(range(points)))
    repair_ms, legal = timed(rules.repair or (lambda point: point), drawn)
    check_ms, _ = timed(rules.check or (lambda point: ()), legal)
    build_ms, _ = timed(study.components.ladder.space.build, legal)
    return {
        "space": name, "params": len(study.params), "points": points, "unit": "ms",
        "draw": round(drawn_ms, 4), "repair": round(repair_ms, 4), "check": round(check_ms, 4),
        "build": round(build_ms, 4), "evidence": "measured", "host": platform.node(),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smoke", action="store_true")
    options = parser.parse_args()
    for name, study in studies(options.smoke).items():
        line = measured(name, study, 5 if options.smoke else 100)
        print(json.dumps({**line, "smoke": options.smoke}), flush=True)


if __name__ == "__main__":
    main()
