"""``search export``: trials as folders to deploy."""

from __future__ import annotations

import json as json_module
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from search.api.errors import ConfigError


def export_run(
    run: Path,
    trials: Sequence[int],
    target: Path | None,
    *,
    plugins: Sequence[Path],
    storage: str | None,
    json: bool,
    quiet: bool,
) -> None:
    """Export trials and print what was written.

    Args:
        run: run directory.
        trials: numbers; those of the front if there are none.
        target: folder of one given trial, which several get a folder each in; by default
            ``export`` in the run directory.
        plugins: files with plugins.
        storage: URL, if it is not that of the study.
        json: print JSON.
        quiet: print nothing.

    Raises:
        StoreError: no run directory or no such trial.
        ConfigError: a trial has no candidate, no trial is on the front, or the folder is in use.
    """
    from search.export import FACTS
    from search.study import Study

    study = Study.load(run, plugins=plugins, storage=storage)
    numbers = list(dict.fromkeys(trials)) or [trial.number for trial in study.pareto()]
    if not numbers:
        raise ConfigError("no trial is on the front. Name one by its number", source="export")
    alone = target if len(trials) == 1 else None
    found = []
    for number in numbers:
        folder = alone or (target or run / "export") / f"trial-{number}"
        files = study.export(number, folder)
        left_out = json_module.loads((folder / FACTS).read_text(encoding="utf-8"))["left_out"]
        written = {name: str(file) for name, file in files.items()}
        found.append({"trial": number, "files": written, "left_out": left_out})
        if not json and not quiet:
            _tell(folder, files, left_out)
    if json:
        one = {name: found[0][name] for name in ("files", "left_out")}
        print(json_module.dumps(one if alone else found))


def _tell(folder: Path, files: Mapping[str, Path], left_out: Mapping[str, Any]) -> None:
    """One line for each file at the top and for each folder below it."""
    inside: dict[str, list[Path]] = {}
    for name, file in files.items():
        inside.setdefault(name.partition("/")[0], []).append(file)
    for name, those in inside.items():
        megabytes = sum(file.stat().st_size for file in those) / 1e6
        nested = those != [folder / name]
        print(
            f"{folder / name}" + (f"/ ({len(those)} files, {megabytes:.1f} MB)" if nested else "")
        )
    for name, why in left_out.items():
        print(f"left out: {name}: {why}")
