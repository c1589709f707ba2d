"""``search export``: what it prints (what it writes: tests/search/test_export.py)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest


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


def test_the_front_is_exported_where_no_trial_is_named(shell: Any) -> None:
    shell.run("run", shell.config, "--plugin", shell.plugin, "-q")
    result = shell.run("export", "runs/tiny", "--plugin", shell.plugin, "--json")
    found = json.loads(result.stdout)
    front = [entry["trial"] for entry in found]
    assert front
    for number in front:
        facts = json.loads(Path(f"runs/tiny/export/trial-{number}/facts.json").read_text())
        assert facts["trial"] == number


def test_several_trials_get_a_folder_each(shell: Any) -> None:
    shell.run("run", shell.config, "--plugin", shell.plugin, "-q")
    words = ("--trial", "2", "--trial", "0", "--trial", "2")
    result = shell.run("export", "runs/tiny", *words, "--plugin", shell.plugin)
    assert result.exit_code == 0, result.stderr
    folders = sorted(folder.name for folder in Path("runs/tiny/export").iterdir())
    assert folders == ["trial-0", "trial-2"]


def test_one_trial_without_a_folder(shell: Any) -> None:
    shell.run("run", shell.config, "--plugin", shell.plugin, "-q")
    result = shell.run("export", "runs/tiny", "1", "--plugin", shell.plugin)
    assert "runs/tiny/export/trial-1/plan.json" in result.stdout


def test_no_front_no_export(shell: Any) -> None:
    text = shell.config.read_text()
    shell.config.write_text(text.replace("- hills", "- {name: hills, fail: true}"))
    shell.run("run", shell.config, "--plugin", shell.plugin, "-q")
    result = shell.run("export", "runs/tiny", "--plugin", shell.plugin)
    assert result.exit_code == 2
    assert "no trial is on the front" in result.stderr


def test_files_in_folders_are_told_by_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from search.cli.export import _tell

    names = ("plan.json", "encrypted/infer.py", "encrypted/program/0.npy")
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(bytes(250_000))
    _tell(tmp_path, {name: tmp_path / name for name in names}, {"a": "why"})
    assert capsys.readouterr().out.splitlines() == [
        f"{tmp_path}/plan.json",
        f"{tmp_path}/encrypted/ (2 files, 0.5 MB)",
        "left out: a: why",
    ]
