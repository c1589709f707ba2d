"""``search check`` says what a run would do, and starts nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


def data_of(shell: Any, *words: str) -> dict[str, Any]:
    result = shell.run("check", shell.config, "--plugin", shell.plugin, "--json", *words)
    assert result.exit_code == 0, result.stderr
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def test_it_says_everything_and_makes_nothing(shell: Any, changed: Callable[..., Path]) -> None:
    config = changed(
        constraints=["delay <= 9 ms"],
        known=["x <= 0.9"],
        baselines={"blind": {"searcher": "random"}},
        budget={"trials": 4, "wall_clock": "10 min"},
    )
    result = shell.run("check", config, "--plugin", shell.plugin)
    assert result.exit_code == 0, result.stderr
    for text in (
        "tiny, seed 1, digest",
        "a number in [0, 1]",
        "one of 'a', 'b'",
        "random: ",
        "delay <= 9 ms",
        "x <= 0.9",
        "distance of x from 1",
        "epochs 1",
        "hills",
        "4 trials, and as many for each of 1 baseline (blind)",
        "wall clock at most 10 min 00 s",
        "the method gives no estimate",
        "journal, in runs/tiny",
        "ok, no trial was run",
    ):
        assert text in result.stdout, text
    assert not Path("runs").exists()


def test_json_has_the_same_facts(shell: Any) -> None:
    data = data_of(shell)
    assert data["space"]["points"] is None
    assert [p["name"] for p in data["space"]["params"]] == ["x", "kind"]
    assert data["objectives"][0]["unit"] == "%"
    assert data["ladder"] == [
        {"rung": "full", "budget": {"epochs": 1.0}, "evaluators": ["hills"], "gates": [],
         "seconds": None}
    ]  # fmt: skip
    assert (data["seconds"], data["seconds_per_trial"]) == (None, None)
    assert data["searcher"]["name"] == "random"


def test_the_size_of_a_finite_space(shell: Any, changed: Callable[..., Path]) -> None:
    changed(space={"name": "parameters", "params": {
        "v": {"vector": {"choice": [0, 1]}, "length": 10}, "n": {"integer": [1, 3]}}})  # fmt: skip
    assert data_of(shell)["space"]["points"] == 3 * 2**10


def test_options_hold(shell: Any) -> None:
    data = data_of(
        shell, "--trials", "9", "--runner", "process", "--directory", "d", "--set", "study.name=n"
    )
    assert data["budget"]["trials"] == 9
    assert data["runner"] == "process"
    assert data["directory"] == "d/n"


def test_a_password_is_not_shown(shell: Any) -> None:
    result = shell.run(
        "check", shell.config, "--plugin", shell.plugin, "--storage", "postgresql://me:secret@h/d"
    )
    assert "postgresql://me@h/d" in result.stdout
    assert "secret" not in result.stdout


@pytest.mark.parametrize(
    ("changes", "warning"),
    [
        (
            {"searcher": "nsga2", "ladder": [
                {"rung": "a", "evaluators": ["hills"], "gates": ["delay <= 5 ms"]},
                {"rung": "b", "evaluators": ["hills"]}]},
            "tpe does better on a gated ladder",
        ),
        (
            {"space": {"name": "parameters", "params": {"x": {"ordinal": [0.0, 1.0]}}}},
            "the space has at most 2 points",
        ),
        ({"budget": {"trials": 4, "trial_time": "5 s"}}, "cannot be enforced by the runner inline"),
        ({}, "no baselines"),
    ],
)  # fmt: skip
def test_warnings(
    shell: Any, changed: Callable[..., Path], changes: dict[str, Any], warning: str
) -> None:
    changed(**changes)
    assert [w for w in data_of(shell)["warnings"] if warning in w]


def test_a_run_that_exists_is_told(shell: Any) -> None:
    assert not [w for w in data_of(shell)["warnings"] if "exists already" in w]
    shell.run("run", shell.config, "--plugin", shell.plugin, "-q")
    assert [w for w in data_of(shell)["warnings"] if "exists already" in w]


def test_baselines_are_built_too(shell: Any, changed: Callable[..., Path]) -> None:
    """Grid refuses a real parameter only once it is built."""
    config = changed(baselines={"all": {"searcher": "grid"}})
    result = shell.run("check", config, "--plugin", shell.plugin)
    assert result.exit_code == 2
    assert f"{config}: baselines.all" in result.stderr


def test_run_names_file_and_path_of_a_wrong_baseline(
    shell: Any, changed: Callable[..., Path]
) -> None:
    config = changed(baselines={"all": {"searcher": "grid"}})
    result = shell.run("run", config, "--plugin", shell.plugin, "-q")
    assert result.exit_code == 2
    assert f"{config}: baselines.all" in result.stderr


def test_an_estimate_of_the_method_is_used(shell: Any, changed: Callable[..., Path]) -> None:
    shell.plugin.write_text(
        shell.plugin.read_text()
        + """

from search.methods.direct import Direct


@register("method", "clocked")
class Clocked(Direct):
    \"\"\"Takes 2 s an epoch.\"\"\"

    def estimate(self, fidelity):
        return 2.0 * fidelity.budget.get("epochs", 0.0)
"""
    )
    changed(method="clocked")
    data = data_of(shell)
    assert (data["seconds_per_trial"], data["seconds"]) == (2.0, 8.0)
    assert (
        "about 8.0 s of work" in shell.run("check", shell.config, "--plugin", shell.plugin).stdout
    )


WITH_NETWORK = {
    "study": {"name": "net"},
    "workload": {
        "name": "image_classification",
        "network": {"name": "resnet_mini", "width": 2},
        "data": "fashion_mini",
    },
    "space": "relu_placement",
    "method": "polympcnet",
    "objectives": ["accuracy", "latency_2pc"],
    "ladder": [
        {
            "rung": "full",
            "budget": {"search_epochs": 1, "finetune_epochs": 1},
            "evaluators": ["accuracy", "cost_2pc"],
        }
    ],
}


def test_a_study_with_a_network_is_checked_without_torch(shell: Any) -> None:
    """Once the network was met, in a process of its own, nothing heavy is loaded for it."""
    shell.write(WITH_NETWORK)
    first = shell.run("check", shell.config)
    assert first.exit_code == 0, first.stderr
    assert "activations (" in first.stdout
    metrics = {m["name"]: m["evidence"] for m in data_of(shell)["objectives"]}
    assert metrics == {"accuracy": None, "latency_2pc": "model"}
    code = (
        "import sys; sys.argv = ['search', 'check', 'tiny.yaml', '-q']\n"
        "from search.cli import main\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code\n"
        "sys.exit('torch was imported' if 'torch' in sys.modules else 0)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
