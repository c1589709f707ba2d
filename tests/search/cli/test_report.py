"""``search report`` and ``search export``: files from the store alone."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any


def test_the_report_is_written_again_with_its_baselines(
    shell: Any, changed: Callable[..., Path]
) -> None:
    shell.call("run", changed(baselines={"blind": {}}), "--plugin", shell.plugin, "-q")
    shutil.rmtree("runs/tiny/report")
    code, out, err = shell.call("report", "runs/tiny")  # another process: no plugin is known
    assert (code, err) == (0, "")
    assert "runs/tiny/report/report.md" in out
    assert "blind" in Path("runs/tiny/report/report.md").read_text()


def test_another_folder_as_json(shell: Any) -> None:
    shell.run("run", shell.config, "--plugin", shell.plugin, "-q")
    files = json.loads(shell.run("report", "runs/tiny", "-o", "out", "--json").stdout)
    assert all(Path(file).parent.name == "out" and Path(file).is_file() for file in files.values())


def test_no_run(shell: Any) -> None:
    result = shell.run("report", "runs/none")
    assert result.exit_code == 1
    assert "not a run directory" in result.stderr
