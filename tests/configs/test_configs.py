"""Every file in ``configs/`` is right, and runs from end to end at its smallest size."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

ROOT = Path(__file__).parents[2]
CONFIGS = sorted((ROOT / "configs").rglob("*.yaml"))
DATA = {"train": 256, "validation": 128, "test": 128}
EPOCHS = 0.25
NARROW = {
    "ckks_mlp": {"hidden": [16]},
    "ckks_lola": {"channels": 1, "hidden": 16},
    "ckks_lenet": {"channels": [2, 4], "hidden": 16},
    "ckks_resnet20": {"width": 2},
    "ckks_alexnet": {"width": 4, "hidden": 16},
}
"""Network -> options that make it narrow; encryption takes time even of two trials."""

configs = pytest.mark.parametrize(
    "config", CONFIGS, ids=lambda c: str(c.relative_to(ROOT / "configs"))
)


def smallest(data: Mapping[str, Any]) -> list[str]:
    """Overrides that shrink a study to seconds and leave its shape as it is."""
    sets = ["budget.trials=2", "runner=inline", *budgets(data, "")]
    for name, baseline in data.get("baselines", {}).items():
        sets += budgets(baseline, f"baselines.{name}.")
    if "network" in (data.get("workload") or {}):
        sets.append("workload.teacher.epochs=1")
        sets += [f"workload.data.{part}={n}" for part, n in DATA.items()]
        network = data["workload"]["network"]
        if network == "ckks_resnet20":  # squares need running statistics, hence steps
            sets += ["workload.teacher.batch_size=32", "workload.teacher.learning_rate=0.005"]
        narrow = NARROW.get(network if isinstance(network, str) else network["name"], {})
        sets += [f"workload.network.{option}={value}" for option, value in narrow.items()]
    space = data.get("space")
    if isinstance(space, Mapping) and space.get("name") == "ckks":
        sets += encrypted(data)
    return sets


def encrypted(data: Mapping[str, Any]) -> Iterator[str]:
    """Overrides for few encrypted images, and networks that were hardly trained."""
    for i, rung in enumerate(data["ladder"]):
        yield f"ladder[{i}].gates=[]"
        for j, evaluator in enumerate(rung["evaluators"]):
            name = evaluator if isinstance(evaluator, str) else evaluator["name"]
            if name in ("ckks_layer", "ckks_encrypted"):
                yield f"ladder[{i}].evaluators[{j}].images=1"
                yield f"ladder[{i}].evaluators[{j}].repeats=1"


def budgets(data: Mapping[str, Any], prefix: str) -> Iterator[str]:
    """Overrides for the rungs' epochs."""
    for i, rung in enumerate(data.get("ladder", ())):
        for key, amount in rung.get("budget", {}).items():
            if key.endswith("epochs"):
                yield f"{prefix}ladder[{i}].budget.{key}={min(amount, EPOCHS)}"
            elif key == "gradient_evaluations":
                yield f"{prefix}ladder[{i}].budget.{key}=64"


def search(*arguments: str, codes: tuple[int, ...] = (0,)) -> str:
    """Standard output of the command ``search``; skips where data is not on this machine."""
    done = subprocess.run(
        [sys.executable, "-m", "search", *arguments],
        capture_output=True, text=True, check=False, cwd=ROOT,
    )  # fmt: skip
    skip_without_data(done.returncode, done.stderr)
    assert done.returncode in codes, done.stdout + done.stderr
    return done.stdout


def skip_without_data(code: int, error: str) -> None:
    """Skips where the command ended because data is not on this machine."""
    if code == 2 and "workload.data" in error and "no such" in error:
        pytest.skip(error.strip())


def test_there_are_configurations() -> None:
    assert ROOT / "configs/polympcnet.yaml" in CONFIGS


@configs
def test_is_right_and_runs_nothing(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from search.cli.app import app

    monkeypatch.chdir(ROOT)
    words = ["check", str(config), "--json", "--directory", str(tmp_path)]
    done = CliRunner().invoke(app, words, prog_name="search")
    skip_without_data(done.exit_code, done.stderr)
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["study"]["name"]
    assert not list(tmp_path.iterdir())


@configs
def test_says_what_it_is(config: Path) -> None:
    assert config.read_text(encoding="utf-8").startswith("# ")


@pytest.mark.slow
@configs
def test_runs_at_its_smallest_size(config: Path, tmp_path: Path) -> None:
    data = yaml.safe_load(config.read_text(encoding="utf-8"))
    sets = [part for text in smallest(data) for part in ("--set", text)]
    # Values of a deep network of squares that was hardly trained may fit no chain: exit code 1.
    codes = (0, 1) if config.name == "ckks_resnet20.yaml" else (0,)
    search("run", str(config), "--directory", str(tmp_path), "--quiet", *sets, codes=codes)
    run = tmp_path / data["study"]["name"]
    files = {f.name for f in (run / "report").iterdir()}
    assert {"report.md", "report.json", "report.html", "trials.csv", "pareto.png"} <= files
    arms = [run, *(run / "baselines" / name for name in data.get("baselines", {}))]
    for arm in arms:
        shown = json.loads(search("show", str(arm), "--json"))
        baseline = data.get("baselines", {}).get(arm.name, {})
        one_point = baseline.get("budget", {}).get("trials") == 1
        # Direct synthesis ends at the first trial that holds.
        few = one_point or "direct" in arm.name
        assert len(shown["trials"]) == 2 or few and shown["trials"]
        ends = {t["status"] for t in shown["trials"]}
        encrypted = "ckks" in config.name
        # Head-room for the outputs' range is known only where the network is, not in the space.
        known = ends - {"infeasible"} if encrypted else ends
        assert known <= {"complete", "gated"}
