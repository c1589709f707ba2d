"""``search export``: what it prints (what it writes: tests/search/test_export.py)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def test_it_prints_the_files_and_what_was_left_out(shell: Any) -> None:
    shell.run("run", shell.config, "--plugin", shell.plugin, "-q")
    result = shell.run("export", "runs/tiny", "1", "out", "--plugin", shell.plugin)
    assert result.exit_code == 0, result.stderr
    assert "out/plan.json" in result.stdout
    assert "left out: program.pt2: the study has no network" in result.stdout
    assert json.loads(Path("out/facts.json").read_text())["trial"] == 1


def test_json(shell: Any) -> None:
    shell.run("run", shell.config, "--plugin", shell.plugin, "-q")
    result = shell.run("export", "runs/tiny", "0", "out", "--plugin", shell.plugin, "--json")
    data = json.loads(result.stdout)
    assert data["files"]["plan.json"] == "out/plan.json"
    assert "model.onnx" in data["left_out"]


def test_a_folder_in_use_is_left_alone(shell: Any) -> None:
    shell.run("run", shell.config, "--plugin", shell.plugin, "-q")
    result = shell.run("export", "runs/tiny", "0", ".", "--plugin", shell.plugin)
    assert result.exit_code == 2
    assert "holds other files" in result.stderr
    assert shell.config.is_file()
