from pathlib import Path

import pytest

from evaluators.cost_table import CostTable, find_table, in_unit, quantity
from search.api.errors import ConfigError

TEXT = """
family = "f"
title = "t"
[constants.startup]
value = 50
unit = "us"
source = "s"
date = 2026-01-31
[constants.boards]
value = 2
unit = "1"
source = "s"
date = 2026-01-31
"""


def load(tmp_path: Path, text: str = TEXT) -> CostTable:
    path = tmp_path / "tab.toml"
    path.write_text(text)
    return CostTable.load(path)


def test_constants_carry_unit_source_and_date(tmp_path: Path) -> None:
    table = load(tmp_path)
    assert (table.name, table.family, table.title) == ("tab", "f", "t")
    assert table.constants["startup"].date == "2026-01-31"
    assert table.value("startup", "s") == pytest.approx(50e-6)


@pytest.mark.parametrize(
    ("value", "unit", "target", "expected"),
    [
        (1, "GB/s", "bit/s", 8e9),
        (400, "Mbit/s", "bit/s", 4e8),
        (400, "Mbit/s", "MB/s", 50.0),
        (200, "MHz", "Hz", 2e8),
        (3, "op/cycle", "op/cycle", 3),
        (1, "kbit", "B", 125.0),
        (2, "nJ/bit", "J/B", 16e-9),
    ],
)
def test_in_unit(value: float, unit: str, target: str, expected: float) -> None:
    assert in_unit(value, unit, target) == pytest.approx(expected)


@pytest.mark.parametrize(("unit", "target"), [("MHz", "s"), ("GB/s", "bit"), ("x/s", "bit/s"),
                                              ("GB/s", "bit/B"), ("op", "bit")])  # fmt: skip
def test_units_that_do_not_convert(unit: str, target: str) -> None:
    with pytest.raises(ValueError, match="cannot be converted"):
        in_unit(1.0, unit, target)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('title = "t"', "", r"tab\.toml: key 'title' is missing"),
        ('title = "t"', 'titel = "t"', "key 'title' is missing"),
        ('title = "t"', 'title = "t"\nextra = 1', "unknown key 'extra'"),
        ("value = 50", "value = true", r"constants\.startup\.value: expected a number"),
        ("value = 50", 'value = "50"', "expected a number"),
        ("value = 50", "value = -1", "0 or more"),
        ("value = 50", "value = inf", "finite"),
        ("value = 50", "", r"constants\.startup: key 'value' is missing"),
        ('unit = "us"', "", "key 'unit' is missing"),
        ('unit = "us"', 'unit = ""', r"constants\.startup\.unit: expected text"),
        ('source = "s"', 'source = " "', r"constants\.startup\.source: expected text"),
        ("date = 2026-01-31", 'date = "soon"', "expected a date such as"),
        ("value = 50", "value = 50\nunits = 1", "unknown key 'units'.*Did you mean 'unit'"),
        ("[constants.startup]", "[constants.startup", "not a TOML file"),
    ],
)
def test_a_wrong_file_says_where(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load(tmp_path, TEXT.replace(old, new, 1))


def test_constants_are_tables(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"constants\.a: expected a table"):
        load(tmp_path, 'family = "f"\ntitle = "t"\nconstants = {a = 3}')
    with pytest.raises(ConfigError, match="expected a table of constants"):
        load(tmp_path, 'family = "f"\ntitle = "t"\nconstants = 3')


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read the table"):
        CostTable.load(tmp_path / "none.toml")


def test_require_finds_missing_unknown_and_wrong_units(tmp_path: Path) -> None:
    table = load(tmp_path)
    table.require({"startup": "s", "boards": "1"})
    with pytest.raises(ConfigError, match="constant 'x' is missing"):
        table.require({"startup": "s", "boards": "1", "x": "s"})
    with pytest.raises(ConfigError, match=r"tab\.constants\.boards: unknown constant"):
        table.require({"startup": "s"})
    with pytest.raises(ConfigError, match=r"tab\.constants\.startup: wrong unit \(got 'us'"):
        table.require({"startup": "B", "boards": "1"})


def test_overrides_take_units_and_change_the_digest(tmp_path: Path) -> None:
    table = load(tmp_path)
    new = table.overridden({"startup": "1 ms", "boards": 1})
    assert new.value("startup", "us") == pytest.approx(1000)
    assert new.value("boards", "1") == 1
    assert new.constants["startup"].source == "set in the configuration"
    assert table.value("startup", "us") == 50
    assert new.digest != table.digest
    assert table.overridden({}).digest == table.digest


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"start": "1 ms"}, r"overrides\.start: unknown constant.*Did you mean 'startup'"),
        ({"startup": 3}, r"overrides\.startup: a unit is needed \(got 3; for example '3 us'\)"),
        ({"startup": "3"}, "wrong unit"),
        ({"startup": "3 MB"}, r"wrong unit \(got 'MB'; expected one like 'us'\)"),
        ({"startup": "fast"}, "expected a number and a unit"),
        ({"startup": "-3 ms"}, "0 or more"),
        ({"boards": float("nan")}, "finite"),
        ({"boards": True}, "expected a number"),
    ],
)
def test_wrong_overrides(tmp_path: Path, change: dict[str, float | str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load(tmp_path).overridden(change)


def test_find_table(tmp_path: Path) -> None:
    (tmp_path / "pasnet.toml").write_text(TEXT)
    assert find_table("pasnet", tmp_path) == tmp_path / "pasnet.toml"
    assert find_table("x/my.toml", tmp_path) == Path("x/my.toml")
    with pytest.raises(ConfigError, match="unknown table 'pasnett'.*Did you mean 'pasnet'"):
        find_table("pasnett", tmp_path)


def test_formulas_are_optional_and_enter_the_digest(tmp_path: Path) -> None:
    plain = load(tmp_path)
    named = load(tmp_path, TEXT.replace('title = "t"', 'title = "t"\nformulas = "rows"'))
    assert (plain.formulas, named.formulas) == ("", "rows")
    assert plain.digest != named.digest


def test_a_width_in_bits_needs_no_unit(tmp_path: Path) -> None:
    table = load(tmp_path, TEXT.replace('unit = "1"', 'unit = "bit"'))
    assert table.overridden({"boards": 32}).value("boards", "bit") == 32
    assert quantity("100 Mbit/s", "B/s", "here") == (100.0, "Mbit/s")
    with pytest.raises(ConfigError, match="here: a unit is needed"):
        quantity(100, "B/s", "here")
