"""Units convert within their dimension; constraints read, convert and measure their excess."""

from __future__ import annotations

import pytest

from search.api.metric import Constraint, convert, units_like


@pytest.mark.parametrize(
    ("value", "unit", "target", "expected"),
    [
        (1.5, "s", "ms", 1500.0),
        (2.0, "h", "min", 120.0),
        (8.0, "bit", "B", 1.0),
        (1.0, "MiB", "MB", 1.048576),
        (1.0, "Wh", "kJ", 3.6),
        (250.0, "mW", "W", 0.25),
        (90.0, "%", "1", 0.9),
        (0.5, "", "%", 50.0),
        (7.0, "furlong", "furlong", 7.0),
    ],
)
def test_units_convert(value: float, unit: str, target: str, expected: float) -> None:
    assert convert(value, unit, target) == pytest.approx(expected)
    assert convert(expected, target, unit) == pytest.approx(value)


@pytest.mark.parametrize(("unit", "target"), [("s", "J"), ("W", "J"), ("furlong", "s"), ("B", "%")])
def test_other_dimensions_are_refused(unit: str, target: str) -> None:
    with pytest.raises(ValueError, match=f"unit '{unit}' cannot be converted to '{target}'"):
        convert(1.0, unit, target)


def test_units_of_one_dimension() -> None:
    assert units_like("ms") == ("ns", "us", "ms", "s", "min", "h")
    assert units_like("%") == ("%", "1")
    assert units_like("furlong") == ("furlong",)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("latency_2pc <= 50 ms", Constraint("latency_2pc", "<=", 50.0, "ms")),
        ("accuracy>=90%", Constraint("accuracy", ">=", 90.0, "%")),
        ("relus <= 1e4", Constraint("relus", "<=", 1e4, "")),
        ("a.b >= -.5 1", Constraint("a.b", ">=", -0.5, "1")),
    ],
)
def test_constraints_are_read(text: str, expected: Constraint) -> None:
    assert Constraint.parse(text) == expected
    assert Constraint.parse(str(expected)) == expected


@pytest.mark.parametrize(
    "text", ["", "latency < 5 ms", "5 <= latency", "latency <= x", "a <= 1 m s"]
)
def test_other_forms_are_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="for example 'latency_2pc <= 50 ms'"):
        Constraint.parse(text)


def test_a_bound_must_be_finite() -> None:
    with pytest.raises(ValueError, match=r"bound must be finite \(got 1e999\)"):
        Constraint.parse("latency <= 1e999 s")


def test_excess_is_in_the_constraints_unit_and_positive_when_broken() -> None:
    upper = Constraint("latency", "<=", 50.0, "ms")
    assert upper.excess(0.06, "s") == pytest.approx(10.0)
    assert upper.excess(50.0, "ms") == 0.0
    lower = Constraint("accuracy", ">=", 90.0, "%")
    assert lower.excess(0.85, "1") == pytest.approx(5.0)
    assert lower.excess(95.0, "%") == pytest.approx(-5.0)


def test_a_constraint_in_another_unit_means_the_same() -> None:
    bound = Constraint("latency", "<=", 50.0, "ms")
    assert bound.in_unit("s") == Constraint("latency", "<=", 0.05, "s")
    assert bound.in_unit("s").excess(60.0, "ms") == pytest.approx(0.01)
    with pytest.raises(ValueError, match="cannot be converted"):
        bound.in_unit("MB")
