"""How numbers, points and plans are written for people and for machines."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping
from typing import Any

from search.api.candidate import to_plain
from search.api.domain import Value
from search.api.metric import Measurement, Metric, convert
from search.api.trial import Trial


def format_number(value: float) -> str:
    """Four significant digits; thousands apart; powers of ten only where zeros would pile up."""
    if isinstance(value, bool):
        return str(value).lower()
    if not math.isfinite(value):
        return str(value)
    if value == int(value) and abs(value) < 1e6:
        return f"{int(value):,}"
    if abs(value) >= 1e6 or abs(value) < 1e-3:
        return f"{value:.3e}"
    if abs(value) >= 1e3:
        return f"{value:,.0f}"
    return f"{value:#.4g}".rstrip(".")


def format_seconds(seconds: float) -> str:
    """A duration with its unit: ``850 ms``, ``12.3 s``, ``4 min 05 s``, ``3 h 20 min``."""
    if seconds < 1:
        return f"{seconds * 1000:.3g} ms"
    if seconds < 60:
        return f"{seconds:.3g} s"
    if seconds < 3600:
        return f"{int(seconds // 60)} min {int(seconds % 60):02d} s"
    return f"{int(seconds // 3600):,} h {int(seconds % 3600 // 60):02d} min"


def format_value(value: Value) -> str:
    """A parameter's value; vectors of more than six entries as counts, most frequent first."""
    if isinstance(value, tuple):
        if len(value) <= 6 or not all(isinstance(entry, str) for entry in value):
            shown = ", ".join(format_value(entry) for entry in value[:12])
            return f"[{shown}{', …' if len(value) > 12 else ''}]"
        counts = Counter(value).most_common()
        return " + ".join(f"{count} × {entry}" for entry, count in counts)
    return value if isinstance(value, str) else format_number(value)


def format_point(point: Mapping[str, Value]) -> str:
    """A point on one line."""
    return "; ".join(f"{name} = {format_value(value)}" for name, value in point.items())


def label(metric: Metric) -> str:
    """A metric's name with its unit: ``latency_2pc [ms]``; a count has no unit to show."""
    return f"{metric.name} [{metric.unit}]" if metric.unit else metric.name


def value_in(measurement: Measurement, unit: str) -> float:
    """The measurement's value in ``unit``, or as it is where the units do not convert."""
    try:
        return convert(measurement.value, measurement.unit, unit)
    except ValueError:
        return measurement.value


def on_test_split(trial: Trial, metric: str) -> Measurement | None:
    """The last measurement of ``metric`` on the test split, if it was asked for."""
    found = None
    for m in trial.outcome.measurements if trial.outcome else ():
        if m.metric == metric and m.split == "test":
            found = m
    return found


def first_line(text: str) -> str:
    """The first line that is not blank."""
    return next((line.strip() for line in text.splitlines() if line.strip()), "")


def plain(value: Any) -> Any:
    """JSON-safe data: like :func:`search.api.candidate.to_plain`, and numbers that JSON cannot
    say become null, anything else that it cannot say its text.
    """
    value = to_plain(value)
    if isinstance(value, dict):
        return {name: plain(entry) for name, entry in value.items()}
    if isinstance(value, list):
        return [plain(entry) for entry in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, (bool, int, str)):
        return value
    return str(value)


def compact_json(value: Any) -> str:
    """One line of JSON."""
    return json.dumps(plain(value), ensure_ascii=False, separators=(", ", ": "), allow_nan=False)
