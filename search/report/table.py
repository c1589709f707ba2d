"""A table as data: what Markdown and HTML both show."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from search.api.metric import Measurement
from search.report.numbers import format_number, value_in


@dataclass(frozen=True)
class Quantity:
    """A number with its 95 % interval and its evidence, in the unit of its column.

    Args:
        value: the number.
        low, high: the interval, if known.
        evidence: ``bound``, ``model``, ``simulated``, ``measured``; empty if the column says it.
    """

    value: float
    low: float | None = None
    high: float | None = None
    evidence: str = ""

    @classmethod
    def of(cls, measurement: Measurement, unit: str) -> Quantity:
        """The measurement in ``unit``, with evidence."""

        def shown(value: float | None) -> float | None:
            return None if value is None else value_in(replace(measurement, value=value), unit)

        return cls(
            value_in(measurement, unit),
            shown(measurement.low),
            shown(measurement.high),
            measurement.evidence,
        )

    def interval(self, whole: bool | None = None) -> str:
        """The interval in words; empty if unknown."""
        if self.low is None or self.high is None:
            return ""
        return f"{format_number(self.low, whole)} to {format_number(self.high, whole)}"


Cell = str | int | float | Quantity | None


@dataclass(frozen=True)
class Table:
    """A titled table.

    Args:
        name: identifier, unique within a report.
        title: heading.
        columns: titles, with units.
        rows: one cell per column; None is shown as a dash.
        note: a sentence or two below the table.
        empty: what to say instead when there are no rows.
    """

    name: str
    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str = ""
    empty: str = "Nothing to show."

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(
                    f"table {self.name}: a row has {len(row)} cells (expected {len(self.columns)})"
                )

    def is_numeric(self, column: int) -> bool:
        """Whether every cell of a column is a number or missing, and one is a number."""
        cells = [row[column] for row in self.rows]
        return any(c is not None for c in cells) and not any(isinstance(c, str) for c in cells)

    def evidence(self, column: int) -> str:
        """The one kind of evidence of a column's cells; empty if there are several or none."""
        kinds = {c.evidence for c in (r[column] for r in self.rows) if isinstance(c, Quantity)}
        return kinds.pop() if len(kinds) == 1 else ""

    def headings(self) -> tuple[str, ...]:
        """Column titles with the evidence that all cells of the column share."""
        kinds = [self.evidence(i) for i in range(len(self.columns))]
        return tuple(f"{c}, {k}" if k else c for c, k in zip(self.columns, kinds, strict=True))

    def is_whole(self, column: int) -> bool:
        """Whether no number of a column, limits of intervals included, has decimals."""
        numbers: list[float] = []
        for cell in (row[column] for row in self.rows):
            if isinstance(cell, Quantity):
                numbers += [v for v in (cell.value, cell.low, cell.high) if v is not None]
            elif isinstance(cell, (int, float)):
                numbers.append(cell)
        return all(math.isfinite(v) and v == int(v) for v in numbers)

    def number(self, cell: float, column: int) -> str:
        """A plain number of a column; numbers that name a trial are not split into thousands."""
        if self.columns[column] == "trial":
            return str(cell)
        return format_number(cell, self.is_whole(column))

    def texts(self, row: tuple[Cell, ...]) -> list[str]:
        """The cells of a row as text; evidence stands in a cell only if the heading lacks it."""
        return [self._text(cell, column) for column, cell in enumerate(row)]

    def _text(self, cell: Cell, column: int) -> str:
        if cell is None or isinstance(cell, str):
            return cell or "–"
        whole = self.is_whole(column)
        if not isinstance(cell, Quantity):
            return self.number(cell, column)
        interval = cell.interval(whole)
        text = format_number(cell.value, whole) + (f" ({interval})" if interval else "")
        return text if self.evidence(column) else f"{text} {cell.evidence}".rstrip()
