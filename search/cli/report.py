"""``search report``: the report files again, from the store alone."""

from __future__ import annotations

import json as json_module
from collections.abc import Sequence
from pathlib import Path

from search.api.snapshot import Snapshot
from search.cli.family import read_family


def report_run(
    run: Path, output: Path | None, *, storage: str | None, json: bool, quiet: bool
) -> None:
    """Write the report of a run directory and print where it is.

    Raises:
        StoreError: no run directory, or the files cannot be written.
    """
    files = write_family(read_family(run, storage), output or run / "report")
    if json:
        print(json_module.dumps({name: str(file) for name, file in files.items()}))
    elif not quiet:
        for file in files.values():
            print(file)


def write_family(snapshots: Sequence[Snapshot], directory: Path) -> dict[str, Path]:
    """Format -> file of the report on these arms."""
    from search.report import write_report

    return dict(write_report(snapshots, directory))
