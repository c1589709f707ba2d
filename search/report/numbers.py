"""How numbers, points and plans are written for people and for machines."""

from __future__ import annotations

import dataclasses
import json
import math
from collections import Counter
from collections.abc import Mapping
from typing import Any

from search.api.domain import Value
from search.api.metric import Measurement, Metric, convert
from search.api.trial import Trial


def format_number(value: float, whole: bool | None = None) -> str:
    """A number for people: four significant digits (three below 0.1), thousands apart.

    Args:
        value: the number.
        whole: show no decimals; by default whatever ``value`` itself is. A column of numbers
            decides for all of its cells, so that 7 does not stand below 6.748.
    """
    if isinstance(value, bool):
        return str(value).lower()
    if not math.isfinite(value):
        return str(value)
    size = abs(value)
    if size < 1e6 and (value == int(value) if whole is None else whole):
        return f"{int(value):,}"
    if size >= 1e6 or 0 < size < 1e-3:
        mantissa, exponent = f"{value:.2e}".split("e")
        return f"{mantissa}e{int(exponent)}"
    if size >= 1e3:
        return f"{value:,.0f}"
    return f"{value:.3g}" if 0 < size < 0.1 else f"{value:#.4g}"


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
    """JSON-safe data: dataclasses become mappings, tuples lists, numbers that JSON cannot say
    null, and anything else that it cannot say its text.
    """
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, (str, int)):
        return value
    if isinstance(value, Mapping):
        return {str(name): plain(entry) for name, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(entry) for entry in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    return str(value)


def compact_json(value: Any) -> str:
    """One line of JSON."""
    return json.dumps(plain(value), ensure_ascii=False, separators=(", ", ": "), allow_nan=False)
