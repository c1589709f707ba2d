"""How numbers, points and data are written."""

import dataclasses
import json
import math
from pathlib import Path

import pytest

from search.api.metric import Measurement, Metric
from search.report.numbers import (
    compact_json,
    first_line,
    format_number,
    format_point,
    format_seconds,
    format_value,
    label,
    on_test_split,
    plain,
    value_in,
)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"), (7, "7"), (7.0, "7"), (12345, "12,345"), (92.8714, "92.87"), (6.7, "6.700"),
        (1234.56, "1,235"), (0.0442, "0.0442"), (0.002, "0.002"), (0.00033, "3.30e-4"),
        (2.5e7, "2.50e7"), (-3.5, "-3.500"), (True, "true"), (math.nan, "nan"), (math.inf, "inf"),
    ],
)  # fmt: skip
def test_format_number(value, text):
    assert format_number(value) == text


def test_a_column_decides_about_decimals():
    assert format_number(7.0, whole=False) == "7.000"
    assert format_number(0.0, whole=False) == "0.000"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.25, "250 ms"), (12.34, "12.3 s"), (245, "4 min 05 s"), (12_000, "3 h 20 min")],
)
def test_format_seconds(seconds, text):
    assert format_seconds(seconds) == text


def test_long_vectors_are_counted_and_short_ones_written_out():
    assert format_value(("relu", "x2act")) == "[relu, x2act]"
    assert format_value(("relu",) * 5 + ("x2act",) * 9) == "9 × x2act + 5 × relu"
    assert format_value(tuple(range(14))) == "[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, …]"
    assert format_point({"a": 0.5, "b": "x"}) == "a = 0.5000; b = x"


def test_labels_carry_units():
    assert label(Metric("latency", "ms", "min", "")) == "latency [ms]"
    assert label(Metric("score", "", "max", "")) == "score"


def test_values_convert_to_the_unit_shown():
    second = Measurement("latency", 1.5, "s", "top", "model")
    assert value_in(second, "ms") == 1500
    assert value_in(second, "MB") == 1.5


def test_the_test_split_is_told_apart(make):
    study = make.study(trials=40)
    found = [on_test_split(t, "accuracy") for t in study.trials]
    assert [m.value for m in found if m] == [90.4]


def test_first_line():
    assert first_line("\n  boom \nTraceback") == "boom"
    assert first_line("") == ""


@dataclasses.dataclass
class Thing:
    path: Path
    more: tuple


def test_plain_data_is_json():
    data = plain({1: Thing(Path("a/b"), (math.nan, {"x": math.inf}, True, None, 2**70))})
    assert data == {"1": {"path": "a/b", "more": [None, {"x": None}, True, None, 2**70]}}
    assert json.loads(compact_json(data)) == data
    assert plain(object).startswith("<class")
