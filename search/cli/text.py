"""Plain text for terminals and files: aligned tables, numbers with units, durations.

Written by hand rather than with rich, so that short commands start quickly and piped output is
neither coloured nor cut.
"""

from __future__ import annotations

import math
import shutil
import sys
from collections.abc import Iterable, Sequence

from search.api.domain import Point, Value
from search.api.metric import Metric

_RULE = "-"


def table(header: Sequence[str], rows: Iterable[Sequence[str]], indent: str = "") -> str:
    """Aligned columns; on a terminal the last one is cut to the width."""
    body = [list(row) for row in rows]
    widths = [max(len(line[i]) for line in [list(header), *body]) for i in range(len(header))]
    rule = [_RULE * width for width in widths]
    lines = [_line(line, widths, indent) for line in [list(header), rule, *body]]
    if sys.stdout.isatty():
        limit = shutil.get_terminal_size().columns
        lines = [line if len(line) <= limit else line[: limit - 1] + "…" for line in lines]
    return "\n".join(lines)


def _line(cells: Sequence[str], widths: Sequence[int], indent: str) -> str:
    padded = [cell.ljust(width) for cell, width in zip(cells, widths, strict=True)]
    return (indent + "  ".join(padded)).rstrip()


def facts(pairs: Iterable[tuple[str, str]], indent: str = "") -> str:
    """``name  value`` lines, aligned; later lines of a value stand below its first."""
    found = [(name, value) for name, value in pairs if value]
    width = max((len(name) for name, _ in found), default=0)
    gap = "\n" + indent + " " * (width + 2)
    return "\n".join(
        f"{indent}{name.ljust(width)}  {value.replace(chr(10), gap)}" for name, value in found
    )


def number(value: float, unit: str = "") -> str:
    """A number with four significant digits and its unit (``1`` stands for none)."""
    if math.isinf(value):
        text = "unbounded"
    elif float(value).is_integer() and abs(value) < 1e7:
        text = f"{int(value)}"
    else:
        text = f"{value:.4g}"
    return text if unit in ("", "1") else f"{text} {unit}"


def count(value: float) -> str:
    """A number of things: exact while it can be read, else a power of ten."""
    if math.isinf(value):
        return "unbounded"
    return f"{int(value):,}" if value < 1e12 else f"{value:.2g}"


def duration(seconds: float | None) -> str:
    """Seconds for people: ``850 ms``, ``12.3 s``, ``4 min 05 s``, ``2 h 10 min``."""
    if seconds is None:
        return ""
    if seconds < 0.001:
        return "<1 ms"
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def objective(metric: Metric) -> str:
    """Name, unit and direction: ``latency_2pc [ms] min``."""
    return f"{metric.name} [{metric.unit}] {metric.goal}"


def point_text(point: Point, limit: int | None = 24) -> str:
    """``name=value`` pairs; long vectors are shortened to ``limit`` entries."""
    return ", ".join(f"{name}={value_text(value, limit)}" for name, value in point.items())


def value_text(value: Value, limit: int | None = None) -> str:
    """One value; vectors of words as runs (``relu*3 x2act*5``)."""
    if isinstance(value, float):
        return f"{value:.4g}"
    if not isinstance(value, tuple):
        return str(value)
    runs: list[tuple[str, int]] = []
    for entry in value:
        text = f"{entry:.4g}" if isinstance(entry, float) else str(entry)
        if runs and runs[-1][0] == text:
            runs[-1] = (text, runs[-1][1] + 1)
        else:
            runs.append((text, 1))
    shown = [text if times == 1 else f"{text}*{times}" for text, times in runs]
    if limit is not None and len(shown) > limit:
        shown = [*shown[:limit], "…"]
    return "(" + " ".join(shown) + ")"
