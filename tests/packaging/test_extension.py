"""A distribution of somebody else's, installed for real, adds plugins."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

CONFIG = """
study: {name: extended}
space: {name: parameters, params: {x: {real: [0, 1]}}}
objectives: [distance]
ladder:
  - {rung: full, evaluators: [{name: EVALUATOR, target: 0.25}]}
searcher: random
budget: {trials: 4}
"""

Search = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def installed(
    pip: Callable[..., None],
    copy_of: Callable[..., Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """A folder that holds the installed extension."""
    target = tmp_path_factory.mktemp("site")
    source = copy_of(Path(__file__).parent / "extension")
    pip("install", str(source / "extension"), "--target", str(target))
    return target


@pytest.fixture
def search(installed: Path, tmp_path: Path) -> Search:
    """Runs the command ``search`` in a process that sees the extension."""

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "PYTHONPATH": str(installed)}
        return subprocess.run(
            [sys.executable, "-m", "search", *arguments],
            capture_output=True, text=True, env=environment, cwd=tmp_path, check=False,
        )  # fmt: skip

    return run


def write_config(folder: Path, evaluator: str) -> str:
    """A study of one parameter with the evaluator of that name."""
    (folder / "study.yaml").write_text(CONFIG.replace("EVALUATOR", evaluator), encoding="utf-8")
    return "study.yaml"


def test_its_plugins_are_listed_with_their_distribution(search: Search) -> None:
    done = search("list", "evaluator", "--json")
    assert done.returncode == 0, done.stderr
    found = {entry["name"]: entry for entry in json.loads(done.stdout)}
    assert found["distance"]["distribution"] == "cipher-search-example 1.0"
    assert found["distance"]["doc"] == "How far the parameter ``x`` is from a target."
    assert found["accuracy"]["distribution"].startswith("cipher-search ")


@pytest.mark.parametrize("runner", ["inline", "process"])
def test_a_study_uses_its_evaluator(search: Search, tmp_path: Path, runner: str) -> None:
    done = search("run", write_config(tmp_path, "distance"), "--runner", runner, "--quiet")
    assert done.returncode == 0, done.stdout + done.stderr
    shown = search("show", "runs/extended", "--json")
    assert shown.returncode == 0, shown.stderr
    assert "distance" in shown.stdout


def test_a_missing_dependency_of_it_is_named(search: Search, tmp_path: Path) -> None:
    done = search("check", write_config(tmp_path, "needs_more"))
    assert done.returncode == 2
    assert "a_package_that_is_not_installed" in done.stderr
    assert "Traceback" not in done.stderr


def test_its_network_is_found(search: Search) -> None:
    done = search("list", "network", "--json")
    assert "One hidden layer." in {e["doc"] for e in json.loads(done.stdout)}


def test_without_it_the_name_is_unknown(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "search", "check", write_config(tmp_path, "distance")],
        capture_output=True, text=True, cwd=tmp_path, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "unknown evaluator 'distance'" in done.stderr
