"""``search list``."""

from __future__ import annotations

import json
from typing import Any

import pytest


def test_all_kinds(shell: Any) -> None:
    result = shell.run("list")
    assert result.exit_code == 0
    for word in ("relu_placement", "polympcnet", "cost_2pc", "tpe", "ray_tasks", "fashion_mini"):
        assert word in result.stdout


@pytest.mark.parametrize("kind", ["evaluator", "evaluators"])
def test_one_kind_with_plugins_of_ones_own(shell: Any, kind: str) -> None:
    result = shell.run("list", kind, "--plugin", shell.plugin)
    assert "Distance of x from 1" in result.stdout
    assert "this process" in result.stdout
    assert "fashion_mini" not in result.stdout


def test_json(shell: Any) -> None:
    found = json.loads(shell.run("list", "runner", "--json").stdout)
    assert {"inline", "process"} <= {entry["name"] for entry in found}
    assert all(entry["doc"] for entry in found)


def test_an_unknown_kind(shell: Any) -> None:
    result = shell.run("list", "plugins")
    assert result.exit_code == 2
    assert "unknown plugin kind 'plugins'" in result.stderr
