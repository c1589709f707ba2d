"""Numbers, durations and tables for people."""

from __future__ import annotations

import math

import pytest

from search.api.metric import Metric
from search.cli import text


@pytest.mark.parametrize(
    ("value", "unit", "shown"),
    [
        (3.0, "", "3"), (0.123456, "ms", "0.1235 ms"), (49.0, "1", "49"),
        (math.inf, "", "unbounded"), (1e12, "B", "1e+12 B"), (-2.5, "%", "-2.5 %"),
    ],
)  # fmt: skip
def test_number(value: float, unit: str, shown: str) -> None:
    assert text.number(value, unit) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (None, ""), (0.0002, "<1 ms"), (0.25, "250 ms"), (12.34, "12.3 s"), (245, "4 min 05 s"),
        (7800, "2 h 10 min"),
    ],
)  # fmt: skip
def test_duration(seconds: float | None, shown: str) -> None:
    assert text.duration(seconds) == shown


def test_count() -> None:
    assert text.count(1024.0) == "1,024"
    assert text.count(2.0**100) == "1.3e+30"
    assert text.count(math.inf) == "unbounded"


def test_objective() -> None:
    assert text.objective(Metric("a", "ms", "min", "")) == "a [ms] min"


def test_vectors_are_shown_as_runs() -> None:
    assert text.value_text(("relu", "relu", "x2act")) == "(relu*2 x2act)"
    assert text.value_text(tuple(range(5)), limit=2) == "(0 1 …)"
    assert text.point_text({"lr": 0.01234567, "n": 3}) == "lr=0.01235, n=3"


def test_table_aligns_and_keeps_everything_off_a_terminal() -> None:
    shown = text.table(("a", "long"), [("xyz", "1"), ("", "y" * 500)], indent="  ")
    lines = shown.splitlines()
    assert lines[0] == "  a    long"
    assert lines[2] == "  xyz  1"
    assert lines[3].endswith("y" * 500)


def test_facts_leave_out_what_is_empty() -> None:
    assert text.facts([("a", "1\n2"), ("bb", ""), ("ccc", "3")]) == "a    1\n     2\nccc  3"
