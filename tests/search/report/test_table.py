"""Tables as data."""

import pytest

from search.api.metric import Measurement
from search.report.table import Quantity, Table


def test_evidence_stands_in_the_heading_if_a_column_agrees():
    same = Table("t", "T", ("a [ms]",), ((Quantity(1.0, evidence="model"),), (None,)))
    assert same.headings() == ("a [ms], model",)
    assert [same.texts(row) for row in same.rows] == [["1"], ["–"]]


def test_evidence_stands_in_the_cells_if_a_column_differs():
    mixed = Table("t", "T", ("a",), tuple((Quantity(1.5, evidence=e),) for e in ("model", "bound")))
    assert mixed.headings() == ("a",)
    assert [mixed.texts(row) for row in mixed.rows] == [["1.500 model"], ["1.500 bound"]]


def test_a_column_shows_decimals_everywhere_or_nowhere():
    table = Table("t", "T", ("trial", "n", "x"), ((12345, 2.0, 7.0), (3, 4, 6.748)))
    assert [table.texts(row) for row in table.rows] == [
        ["12345", "2", "7.000"],
        ["3", "4", "6.748"],
    ]


def test_intervals_follow_their_value():
    table = Table("t", "T", ("a",), ((Quantity(90.0, 88.5, 91.0, "measured"),),))
    assert table.texts(table.rows[0]) == ["90.00 (88.50 to 91.00)"]


def test_quantities_convert_value_and_interval():
    m = Measurement("latency", 2.0, "s", "top", "measured", low=1.0, high=3.0)
    assert Quantity.of(m, "ms") == Quantity(2000.0, 1000.0, 3000.0, "measured")


def test_numeric_columns_are_told_from_text():
    table = Table("t", "T", ("a", "b", "c"), ((1, "x", None), (None, 2, None)))
    assert [table.is_numeric(i) for i in range(3)] == [True, False, False]


def test_a_row_of_the_wrong_length_is_refused():
    with pytest.raises(ValueError, match=r"table t: a row has 2 cells \(expected 1\)"):
        Table("t", "T", ("a",), ((1, 2),))
