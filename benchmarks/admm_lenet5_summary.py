"""What the networks of ``admm_lenet5.py`` amount to."""

from __future__ import annotations

import math
import platform
import statistics
from collections.abc import Iterable, Sequence
from typing import Any

Row = dict[str, Any]
Group = tuple[float, str, float]
"""Epochs, arm, power of the curvature: what is averaged over seeds."""

PAIRS = (
    (("admm", 0.5), ("gradual", 0.0)),
    (("progressive", 0.5), ("gradual", 0.0)),
    (("progressive", 0.5), ("gradual", 0.5)),
    (("gradual", 0.5), ("gradual", 0.0)),
    (("progressive", 0.5), ("progressive", 0.0)),
    (("admm", 0.5), ("admm", 0.0)),
    (("admm", 0.0), ("gradual", 0.0)),
    (("progressive", 0.0), ("gradual", 0.0)),
    (("gradual+lamp", 0.0), ("gradual", 0.0)),
    (("admm+searched", 0.0), ("admm", 0.0)),
    (("progressive+searched", 0.0), ("progressive", 0.0)),
    (("progressive+searched", 0.5), ("progressive", 0.5)),
    (("gradual+searched", 0.0), ("gradual", 0.0)),
    (("gradual+searched", 0.0), ("gradual+lamp", 0.0)),
)
"""Arms and their norms that are compared seed by seed, at equal epochs."""


def summary(rows: Sequence[Row]) -> dict[str, Any]:
    """Means over seeds, the paired difference, and ratios at given losses."""
    groups = sorted({_group(r) for r in rows})
    table: dict[str, Any] = {}
    for group in groups:
        own = [r for r in rows if _group(r) == group]
        table[_name(group)] = {
            str(ratio): _mean_and_error([r["test_accuracy"] for r in own if r["ratio"] == ratio])
            for ratio in sorted({r["ratio"] for r in own})
        }
    largest = {
        _name(group): {f"{loss:g} points": _largest(rows, group, loss) for loss in (0.5, 1.0)}
        for group in groups
        if len(table[_name(group)]) > 1
    }
    dense = statistics.mean({r["seed"]: r["dense_test_accuracy"] for r in rows}.values())
    return {"claim": "admm_lenet5", "dense": round(dense, 2), "test_accuracy": table,
            "differences_points": dict(_differences(rows)), "largest_ratio_at_loss": largest,
            "unit": "%", "host": platform.processor() or platform.machine()}  # fmt: skip


def _differences(rows: Sequence[Row]) -> Iterable[tuple[str, list[float]]]:
    for epochs in sorted({r["epochs"] for r in rows}):
        for a, b in PAIRS:
            for ratio in sorted({r["ratio"] for r in rows}):
                found = _paired(rows, (epochs, *a), (epochs, *b), ratio)
                if found:
                    yield (
                        f"{_name((epochs, *a))} less {_name((epochs, *b))} at {ratio}x",
                        (_mean_and_error(found)),
                    )


def _group(row: Row) -> Group:
    return (row["epochs"], row["arm"], row["curvature"])


def _name(group: Group) -> str:
    epochs, arm, curvature = group
    return f"{arm}, {epochs:g} epochs" + (f", curvature {curvature:g}" if curvature else "")


def _paired(rows: Sequence[Row], a: Group, b: Group, ratio: int) -> list[float]:
    one, two = (
        {r["seed"]: r["test_accuracy"] for r in rows if _group(r) == g and r["ratio"] == ratio}
        for g in (a, b)
    )
    return [one[seed] - two[seed] for seed in sorted(one.keys() & two.keys())]


def _mean_and_error(values: Sequence[float]) -> list[float]:
    error = statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else math.nan
    return [round(statistics.mean(values), 3), round(error, 3), len(values)]


def _largest(rows: Sequence[Row], group: Group, loss: float) -> str:
    """The ratio at which the mean loss is ``loss``, between measured ones on a log scale."""
    points = []
    for ratio in sorted({r["ratio"] for r in rows if _group(r) == group}):
        own = [r for r in rows if _group(r) == group and r["ratio"] == ratio]
        lost = statistics.mean(r["dense_test_accuracy"] - r["test_accuracy"] for r in own)
        points.append((math.log(ratio), lost))
    if points[0][1] > loss:
        return f"below {math.exp(points[0][0]):.0f}"
    for (x, a), (y, b) in zip(points, points[1:], strict=False):
        if a <= loss < b:
            return f"{math.exp(x + (y - x) * (loss - a) / (b - a)):.0f}"
    return f"above {math.exp(points[-1][0]):.0f}"
