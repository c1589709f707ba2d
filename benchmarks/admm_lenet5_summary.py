"""What the networks of ``admm_lenet5.py`` amount to."""

from __future__ import annotations

import math
import platform
import statistics
from collections.abc import Iterable, Sequence
from typing import Any

PAIRS = (
    ("admm", "gradual"),
    ("progressive", "gradual"),
    ("admm@12", "gradual@12"),
    ("progressive@12", "gradual@12"),
    ("gradual@12", "gradual"),
    ("admm+lamp", "admm"),
    ("gradual+lamp", "gradual"),
    ("admm+lamp", "gradual+lamp"),
    ("admm+searched", "admm"),
    ("progressive+searched", "progressive"),
    ("gradual+searched", "gradual"),
    ("gradual+searched", "gradual+lamp"),
)
"""Arms that are compared seed by seed."""


def summary(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Means over seeds, the paired difference, and ratios at given losses."""
    arms = sorted({r["arm"] for r in rows})
    table: dict[str, Any] = {}
    for arm in arms:
        table[arm] = {
            str(ratio): _mean_and_error(_values(rows, arm, ratio))
            for ratio in sorted({r["ratio"] for r in rows if r["arm"] == arm})
        }
    against = {
        f"{a} less {b} at {ratio}x": _mean_and_error(_paired(rows, a, b, ratio))
        for a, b in PAIRS
        for ratio in sorted({r["ratio"] for r in rows})
        if _paired(rows, a, b, ratio)
    }
    largest = {
        arm: {f"{loss:g} points": _largest(rows, arm, loss) for loss in (0.5, 1.0)}
        for arm in arms
        if len(table[arm]) > 1
    }
    dense = statistics.mean({r["seed"]: r["dense_test_accuracy"] for r in rows}.values())
    return {"claim": "admm_lenet5", "dense": round(dense, 2), "test_accuracy": table,
            "differences_points": against, "largest_ratio_at_loss": largest, "unit": "%",
            "host": platform.processor() or platform.machine()}  # fmt: skip


def _values(rows: Iterable[dict[str, Any]], arm: str, ratio: int) -> list[float]:
    return [r["test_accuracy"] for r in rows if r["arm"] == arm and r["ratio"] == ratio]


def _paired(rows: Sequence[dict[str, Any]], a: str, b: str, ratio: int) -> list[float]:
    one = {r["seed"]: r["test_accuracy"] for r in rows if (r["arm"], r["ratio"]) == (a, ratio)}
    two = {r["seed"]: r["test_accuracy"] for r in rows if (r["arm"], r["ratio"]) == (b, ratio)}
    return [one[seed] - two[seed] for seed in sorted(one.keys() & two.keys())]


def _mean_and_error(values: Sequence[float]) -> list[float]:
    error = statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else math.nan
    return [round(statistics.mean(values), 3), round(error, 3), len(values)]


def _largest(rows: Sequence[dict[str, Any]], arm: str, loss: float) -> str:
    """The ratio at which the mean loss is ``loss``, between measured ones on a log scale."""
    points = []
    for ratio in sorted({r["ratio"] for r in rows if r["arm"] == arm}):
        own = [r for r in rows if r["arm"] == arm and r["ratio"] == ratio]
        lost = statistics.mean(r["dense_test_accuracy"] - r["test_accuracy"] for r in own)
        points.append((math.log(ratio), lost))
    if points[0][1] > loss:
        return f"below {math.exp(points[0][0]):.0f}"
    for (x, a), (y, b) in zip(points, points[1:], strict=False):
        if a <= loss < b:
            return f"{math.exp(x + (y - x) * (loss - a) / (b - a)):.0f}"
    return f"above {math.exp(points[-1][0]):.0f}"
