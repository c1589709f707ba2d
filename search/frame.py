"""Trials as a pandas frame, where pandas is installed."""

from __future__ import annotations

from typing import Any

from search.api.errors import MissingExtra
from search.api.snapshot import Snapshot


def trials_frame(snapshot: Snapshot) -> Any:
    """One row a trial: status, objectives, ``params.*``, ``metrics.*`` (unit in the column name).

    Raises:
        MissingExtra: pandas is not installed.
    """
    try:
        import pandas as pd
    except ImportError as error:
        raise MissingExtra("a frame needs pandas. Run: pip install pandas") from error
    rows = []
    for trial in snapshot.trials:
        row: dict[str, Any] = {
            "status": trial.status,
            "feasible": trial.feasible,
            "origin": trial.origin.kind,
            "seconds": trial.outcome.seconds if trial.outcome else None,
        }
        row.update({f"params.{name}": value for name, value in trial.point.items()})
        for m in trial.outcome.measurements if trial.outcome else ():
            split = f" {m.split}" if m.split == "test" else ""
            row[f"metrics.{m.metric}{split} [{m.unit}]"] = m.value
        rows.append(row)
    return pd.DataFrame(rows, index=pd.Index([t.number for t in snapshot.trials], name="number"))
