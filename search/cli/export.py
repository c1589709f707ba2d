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
    from search.study import Study

    files = Study.load(run, plugins=plugins, storage=storage).export(trial, target)
    if json:
        print(json_module.dumps({name: str(file) for name, file in files.items()}))
    elif not quiet:
        for name, file in files.items():
            print(f"{name}: {file}")
