"""Tables of the comparison of agents. No benchmark itself.

``python benchmarks/fhe_agent_summary.py FILE`` prints them for the JSON lines of a run.
"""

from __future__ import annotations

import json
import statistics
import sys
from pathlib import Path
from typing import Any


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """By controller: shares of feasible and near results, and medians of runs and seconds."""
    found = {}
    for controller in dict.fromkeys(r["controller"] for r in rows):
        own = [r for r in rows if r["controller"] == controller]
        encrypted = [r for r in own if r["network"] not in ("resnet20", "alexnet")]
        found[controller] = {
            "sessions": len(own),
            "feasible": round(statistics.mean(r["feasible"] for r in own), 3),
            "near": round(statistics.mean(r["near"] for r in own), 3),
            "encrypted_runs": _median([r["encrypted_runs"] for r in encrypted]),
            "mean_encrypted_runs": _mean([r["encrypted_runs"] for r in encrypted]),
            "runs_to_feasible": _median([r.get("runs_to_feasible") for r in encrypted]),
            "over_reference": _median([_over(r) for r in own if r["feasible"]]),
            "seconds": _median([r["seconds"] for r in own]),
        }
    return found


def _over(row: dict[str, Any]) -> float | None:
    """The result over the reference, where time is wanted."""
    if "latency" not in row["goal"][0] or not row["value"]:
        return None
    return float(row["value"] / row["reference"])


def _median(values: list[Any]) -> float | None:
    numbers = [v for v in values if v is not None]
    return round(statistics.median(numbers), 2) if numbers else None


def _mean(values: list[Any]) -> float | None:
    return round(statistics.mean(values), 2) if values else None


if __name__ == "__main__":
    lines = Path(sys.argv[1]).read_text(encoding="utf-8").splitlines()
    for name, row in summary([json.loads(line) for line in lines]).items():
        print(json.dumps({"controller": name, **row}))
