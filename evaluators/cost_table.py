"""Tables of cost constants: TOML files in which every number has a unit, a source and a date."""

from __future__ import annotations

import datetime
import difflib
import hashlib
import json
import math
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from search.api.errors import ConfigError
from search.api.metric import convert

_FREQUENCY = {"Hz": 1.0, "kHz": 1e3, "MHz": 1e6, "GHz": 1e9}
_LINE_RATE = {"kbit": 1e3, "Mbit": 1e6, "Gbit": 1e9}
_QUANTITY = re.compile(r"^\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*(\S*)\s*$")


@dataclass(frozen=True)
class Constant:
    """One number of a table.

    Args:
        value: in ``unit``; finite and not negative.
        unit: such as ``us``, ``GB/s``, ``MHz``, ``op/cycle``; ``1`` for a pure number.
        source: where it comes from: paper and equation, a fit, an assumption.
        date: when it was taken, ISO form.
    """

    value: float
    unit: str
    source: str
    date: str


@dataclass(frozen=True)
class CostTable:
    """Named constants of one family of formulas.

    Args:
        name: name of the table (the file's stem).
        family: which formulas they belong to.
        title: one line for people.
        constants: name -> constant.
        path: file it was read from.
        formulas: which of the family's formulas, where it has several; empty otherwise.
    """

    name: str
    family: str
    title: str
    constants: Mapping[str, Constant]
    path: str = ""
    formulas: str = ""

    @property
    def digest(self) -> str:
        """16 hexadecimal digits of family, formulas, names, values and units."""
        plain = {n: [c.value, c.unit] for n, c in self.constants.items()}
        family = f"{self.family}/{self.formulas}" if self.formulas else self.family
        text = json.dumps([family, plain], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def value(self, name: str, unit: str) -> float:
        """Constant ``name`` expressed in ``unit``.

        Raises:
            ConfigError: it is missing, or its unit measures something else.
        """
        constant = self.constants.get(name)
        if constant is None:
            raise ConfigError(f"constant {name!r} is missing", path=self.name, source=self.path)
        try:
            return in_unit(constant.value, constant.unit, unit)
        except ValueError as error:
            raise ConfigError(
                f"wrong unit (got {constant.unit!r}; expected one like {unit!r})",
                path=f"{self.name}.constants.{name}",
                source=self.path,
            ) from error

    def require(self, units: Mapping[str, str]) -> None:
        """That the table has exactly the constants of ``units`` (name -> unit), convertible.

        Raises:
            ConfigError: a constant is missing, unknown, or in a wrong unit.
        """
        for name in self.constants:
            if name not in units:
                raise ConfigError(
                    f"unknown constant (known: {', '.join(units)}).{_near(name, units)}",
                    path=f"{self.name}.constants.{name}",
                    source=self.path,
                )
        for name, unit in units.items():
            self.value(name, unit)

    def overridden(self, changes: Mapping[str, float | str], path: str = "overrides") -> CostTable:
        """The table with some values changed: ``{"startup": "1 ms", "boards": 1}``.

        A bare number is taken only for a pure number (unit ``1``, ``op/cycle``) or a width in
        bits; anything else must say its unit.

        Raises:
            ConfigError: an unknown name, no unit, or a unit that measures something else.
        """
        constants = dict(self.constants)
        for name, change in changes.items():
            where = f"{path}.{name}"
            old = constants.get(name)
            if old is None:
                raise ConfigError(
                    f"unknown constant of table {self.name!r} (known: {', '.join(constants)})."
                    f"{_near(name, constants)}",
                    path=where,
                )
            value, unit = quantity(change, old.unit, where)
            constants[name] = replace(
                old, value=_number(value, where), unit=unit, source="set in the configuration"
            )
        return replace(self, constants=constants)

    @classmethod
    def load(cls, path: Path) -> CostTable:
        """The table in the TOML file ``path``.

        Raises:
            ConfigError: the file is missing, is not TOML, or an entry lacks value, unit, source
                or date.
        """
        source = str(path)
        try:
            data = tomllib.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise ConfigError(f"cannot read the table ({error.strerror})", source=source) from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigError(f"not a TOML file ({error})", source=source) from error
        _keys(data, {"family", "title", "constants"}, "", source, optional={"formulas"})
        if not isinstance(data["constants"], dict):
            raise ConfigError("expected a table of constants", path="constants", source=source)
        constants = {n: _constant(n, entry, source) for n, entry in data["constants"].items()}
        return cls(
            path.stem,
            str(data["family"]),
            str(data["title"]),
            constants,
            source,
            str(data.get("formulas", "")),
        )


def find_table(name: str, folder: Path) -> Path:
    """The file of table ``name``: one shipped in ``folder``, or a path ending in ``.toml``.

    Raises:
        ConfigError: there is no such table.
    """
    if name.endswith(".toml"):
        return Path(name)
    known = sorted(p.stem for p in folder.glob("*.toml"))
    if name not in known:
        raise ConfigError(
            f"unknown table {name!r} (known: {', '.join(known)}; or a path ending in .toml)."
            f"{_near(name, known)}",
            path="table",
        )
    return folder / f"{name}.toml"


def in_unit(value: float, unit: str, target: str) -> float:
    """``value`` in ``unit`` expressed in ``target``; knows rates (``GB/s``) and frequencies.

    Raises:
        ValueError: the units measure different things, or one is unknown.
    """
    if unit == target:
        return value
    if unit in _FREQUENCY and target in _FREQUENCY:
        return value * _FREQUENCY[unit] / _FREQUENCY[target]
    if "/" in unit and "/" in target:
        top, _, bottom = unit.partition("/")
        target_top, _, target_bottom = target.partition("/")
        return in_unit(value, top, target_top) / in_unit(1.0, bottom, target_bottom)
    factor = _LINE_RATE.get(unit)
    if factor is not None:
        return in_unit(value * factor, "bit", target)
    return convert(value, unit, target)


def _constant(name: str, entry: Any, source: str) -> Constant:
    path = f"constants.{name}"
    if not isinstance(entry, dict):
        raise ConfigError(f"expected a table with value, unit (got {entry!r})", path=path,
                          source=source)  # fmt: skip
    _keys(entry, {"value", "unit", "source", "date"}, path, source)
    for key in ("unit", "source"):
        if not isinstance(entry[key], str) or not entry[key].strip():
            raise ConfigError("expected text", path=f"{path}.{key}", source=source)
    if not isinstance(entry["date"], datetime.date):
        raise ConfigError(
            f"expected a date such as 2025-01-31 (got {entry['date']!r})",
            path=f"{path}.date",
            source=source,
        )
    try:
        value = _number(entry["value"], f"{path}.value")
    except ConfigError as error:
        raise ConfigError(error.message, path=error.path, source=source) from error
    return Constant(value, entry["unit"], entry["source"], entry["date"].isoformat())


def _keys(
    data: Mapping[str, Any],
    wanted: set[str],
    path: str,
    source: str,
    optional: frozenset[str] | set[str] = frozenset(),
) -> None:
    for key in sorted(wanted - data.keys()):
        raise ConfigError(f"key {key!r} is missing", path=path, source=source)
    known = wanted | optional
    for key in sorted(data.keys() - known):
        raise ConfigError(
            f"unknown key {key!r} (known: {', '.join(sorted(known))}).{_near(key, known)}",
            path=path,
            source=source,
        )


def quantity(change: float | str, unit: str, where: str) -> tuple[float, str]:
    """Number and unit of ``change``, such as ``400 Mbit/s``; the unit must be one like ``unit``.

    Raises:
        ConfigError: it is no number with a unit, or the unit measures something else; at ``where``.
    """
    if not isinstance(change, str):
        if unit not in ("1", "op/cycle", "bit"):
            raise ConfigError(f"a unit is needed (got {change!r}; for example '{change} {unit}')",
                              path=where)  # fmt: skip
        return change, unit
    match = _QUANTITY.match(change)
    if match is None:
        raise ConfigError(f"expected a number and a unit (got {change!r})", path=where)
    given = match[2] or "1"
    if given == "1" and unit == "op/cycle":
        given = unit
    try:
        in_unit(1.0, given, unit)
    except ValueError as error:
        raise ConfigError(f"wrong unit (got {given!r}; expected one like {unit!r})",
                          path=where) from error  # fmt: skip
    return float(match[1]), given


def _number(value: Any, path: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ConfigError(f"expected a number (got {value!r})", path=path)
    if not math.isfinite(value) or value < 0:
        raise ConfigError(f"expected a finite number, 0 or more (got {value!r})", path=path)
    return float(value)


def _near(name: str, known: Any) -> str:
    near = difflib.get_close_matches(name, list(known), n=1)
    return f" Did you mean {near[0]!r}?" if near else ""
