"""``search export``: one trial as a folder to deploy."""

from __future__ import annotations

import json as json_module
from collections.abc import Sequence
from pathlib import Path


def export_run(
    run: Path,
    trial: int,
    target: Path,
    *,
    plugins: Sequence[Path],
    storage: str | None,
    json: bool,
    quiet: bool,
) -> None:
    """Export a trial and print what was written.

    Raises:
        StoreError: no run directory or no such trial.
        ConfigError: the trial has no candidate, or the folder is in use.
    """
    from search.export import FACTS
    from search.study import Study

    files = Study.load(run, plugins=plugins, storage=storage).export(trial, target)
    left_out = json_module.loads((target / FACTS).read_text(encoding="utf-8"))["left_out"]
    if json:
        written = {name: str(file) for name, file in files.items()}
        print(json_module.dumps({"files": written, "left_out": left_out}))
    elif not quiet:
        for file in files.values():
            print(file)
        for name, why in left_out.items():
            print(f"left out: {name}: {why}")
