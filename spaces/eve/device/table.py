"""Constants of a device: a TOML table in which every number has a unit, a source and a date."""

from __future__ import annotations

import datetime
import difflib
import hashlib
import json
import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from search.api.errors import ConfigError
from search.api.metric import convert

_TABLE = Path(__file__).with_name("msp430fr5994.toml")
_FACTORS = {("mF", "F"): 1e-3, ("uF", "F"): 1e-6, ("kohm", "ohm"): 1e3, ("MHz", "Hz"): 1e6,
            ("kHz", "Hz"): 1e3, ("mV", "V"): 1e-3}  # fmt: skip

_ADDRESSES = ("input", "weight", "partial", "accumulate", "reuse_I", "reuse_W", "reuse_O",
              "element")  # fmt: skip
_OPERATIONS = ("add", "mul", "div", "max", "lea_element", "lea_call", "read_word", "read_call",
               "write_word", "write_call")  # fmt: skip

UNITS: Mapping[str, str] = {
    **{f"{name}_energy": "J" for name in _OPERATIONS},
    **{f"{name}_cycles": "cycle" for name in _OPERATIONS},
    **{f"{name}_{kind}": "1" for name in _ADDRESSES for kind in ("adds", "muls")},
    "clock": "Hz", "word": "B", "reboot_energy": "J", "reboot_time": "s", "idle_power": "W",
    "progress_words": "1", "level_adds": "1", "unpack_adds": "1",
    "capacitance": "F", "resistance": "ohm", "voltage_on": "V", "voltage_off": "V",
    "voltage_supply": "V", "margin": "1", "fram": "B", "sram": "B", "code": "B",
}  # fmt: skip
"""Name of every constant -> the unit in which :meth:`Profile.value` gives it."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Energy [J] and clock cycles of some work; adds up, and scales with a count."""

    energy_j: float = 0.0
    cycles: float = 0.0

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.energy_j + other.energy_j, self.cycles + other.cycles)

    def __mul__(self, count: float) -> Cost:
        return Cost(self.energy_j * count, self.cycles * count)

    __rmul__ = __mul__


@dataclass(frozen=True)
class Constant:
    """One number of a table.

    Args:
        value: in ``unit``; finite and not negative.
        unit: such as ``nJ``, ``cycle``, ``mF``; ``1`` for a pure number.
        source: where it comes from.
        date: when it was taken, ISO form.
    """

    value: float
    unit: str
    source: str
    date: str


@dataclass(frozen=True)
class Profile:
    """A device with its constants.

    Args:
        name: for people.
        constants: all names of :data:`UNITS`.
        origin: file they were read from, for messages.

    Raises:
        ConfigError: a constant is missing, unknown or of a wrong unit, or the voltages of the
            capacitor are out of order.
    """

    name: str
    constants: Mapping[str, Constant]
    origin: str = ""

    def __post_init__(self) -> None:
        for name in self.constants.keys() - UNITS.keys():
            near = difflib.get_close_matches(name, UNITS, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise ConfigError(f"unknown constant {name!r}.{hint}", path=self.name,
                              source=self.origin)  # fmt: skip
        for name in UNITS:
            if name not in self.constants:
                raise ConfigError(f"constant {name!r} is missing", path=self.name,
                                  source=self.origin)  # fmt: skip
        v = self.values
        if not v["voltage_off"] < v["voltage_on"] < v["voltage_supply"]:
            raise ConfigError(
                f"voltages must rise from off to on to supply (got {v['voltage_off']:g}, "
                f"{v['voltage_on']:g}, {v['voltage_supply']:g} V)",
                path=self.name,
                source=self.origin,
            )
        if not 0 < v["margin"] <= 1 or not v["clock"] or not v["capacitance"]:
            raise ConfigError("expected a margin in (0, 1], a clock and a capacitance above 0",
                              path=self.name, source=self.origin)  # fmt: skip

    @cached_property
    def values(self) -> Mapping[str, float]:
        """Name -> value in the unit of :data:`UNITS`."""
        return {name: self._in_unit(name, c) for name, c in self.constants.items()}

    def value(self, name: str) -> float:
        """Constant ``name`` in the unit of :data:`UNITS`."""
        return self.values[name]

    @property
    def digest(self) -> str:
        """16 hexadecimal digits of all values."""
        return hashlib.sha256(json.dumps(self.values, sort_keys=True).encode()).hexdigest()[:16]

    @cached_property
    def _operations(self) -> Mapping[str, Cost]:
        v = self.values
        found = {name: Cost(v[f"{name}_energy"], v[f"{name}_cycles"]) for name in _OPERATIONS}
        for name in _ADDRESSES:
            found[name] = found["add"] * v[f"{name}_adds"] + found["mul"] * v[f"{name}_muls"]
        return found

    def operation(self, name: str) -> Cost:
        """One ``add``, ``mul``, ``div`` or ``max`` of the CPU, or one address computation: of an
        ``input``, a ``weight``, a ``partial`` sum, an ``accumulate``, an ``element`` or an output
        in order ``reuse_I``, ``reuse_W`` or ``reuse_O``.
        """
        return self._operations[name]

    def mac(self, elements: float, calls: float) -> Cost:
        """Vector multiply-accumulates: ``calls`` of them over ``elements`` in all."""
        return self._operations["lea_element"] * elements + self._operations["lea_call"] * calls

    def read(self, words: float, calls: float) -> Cost:
        """Transfers from FRAM to SRAM: ``calls`` of them over ``words`` in all."""
        return self._operations["read_word"] * words + self._operations["read_call"] * calls

    def write(self, words: float, calls: float) -> Cost:
        """Transfers from SRAM to FRAM: ``calls`` of them over ``words`` in all."""
        return self._operations["write_word"] * words + self._operations["write_call"] * calls

    def seconds(self, cycles: float) -> float:
        """Time of ``cycles`` [s]."""
        return cycles / self.values["clock"]

    def _in_unit(self, name: str, constant: Constant) -> float:
        target = UNITS[name]
        factor = _FACTORS.get((constant.unit, target))
        if factor is not None:
            return constant.value * factor
        try:
            return convert(constant.value, constant.unit, target)
        except ValueError as error:
            raise ConfigError(
                f"wrong unit (got {constant.unit!r}; expected one like {target!r})",
                path=f"{self.name}.{name}",
                source=self.origin,
            ) from error


def profiles() -> tuple[str, ...]:
    """Names of the profiles that come along."""
    return tuple(_shipped())


def load_profile(name: str) -> Profile:
    """A profile that comes along, or one from a TOML file.

    Args:
        name: ``external_fram`` (as published), ``onchip_fram`` (ours), or a path ending in
            ``.toml`` of a file with ``base`` (one of these names) and ``[constants]`` that differ,
            each with value, unit, source and date.

    Raises:
        ConfigError: there is no such profile, or the file is wrong.
    """
    if name.endswith(".toml"):
        data = _read(Path(name))
        for key in data.keys() - {"base", "constants", "sources"}:
            raise ConfigError(f"unknown key {key!r} (known: base, constants, sources)", source=name)
        base = load_profile_named(str(data.get("base", "")), name)
        changes = _constants(data.get("constants", {}), data.get("sources", {}), "constants", name)
        return Profile(Path(name).stem, {**base.constants, **changes}, name)
    return load_profile_named(name)


def load_profile_named(name: str, source: str = "") -> Profile:
    """The profile ``name`` that comes along.

    Raises:
        ConfigError: there is none of that name; the message names ``source``.
    """
    found = _shipped().get(name)
    if found is None:
        raise ConfigError(
            f"unknown device profile {name!r} (known: {', '.join(_shipped())}; or a path ending "
            "in .toml)",
            path="profile",
            source=source,
        )
    return found


@cache
def _shipped() -> Mapping[str, Profile]:
    data, source = _read(_TABLE), _TABLE.name
    shared = _constants(data["constants"], data["sources"], "constants", source)
    return {
        name: Profile(
            name, {**shared, **_constants(own, data["sources"], f"profiles.{name}", source)}, source
        )
        for name, own in data["profiles"].items()
    }


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read the table ({error.strerror})", source=str(path)) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"not a TOML file ({error})", source=str(path)) from error


def _constants(data: Any, sources: Any, path: str, source: str) -> dict[str, Constant]:
    if not isinstance(data, dict) or not isinstance(sources, dict):
        raise ConfigError("expected a table of constants", path=path, source=source)
    return {name: _constant(entry, sources, f"{path}.{name}", source)
            for name, entry in data.items()}  # fmt: skip


def _constant(entry: Any, sources: Mapping[str, str], path: str, source: str) -> Constant:
    keys = {"value", "unit", "source", "date"}
    if not isinstance(entry, dict) or entry.keys() != keys:
        raise ConfigError(f"expected value, unit, source and date (got {entry!r})", path=path,
                          source=source)  # fmt: skip
    value = entry["value"]
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not (
        math.isfinite(value) and value >= 0
    ):  # fmt: skip
        raise ConfigError(f"expected a number of at least 0 (got {value!r})", path=f"{path}.value",
                          source=source)  # fmt: skip
    if not isinstance(entry["date"], datetime.date):
        raise ConfigError(f"expected a date such as 2026-01-31 (got {entry['date']!r})",
                          path=f"{path}.date", source=source)  # fmt: skip
    told = str(entry["source"])
    return Constant(float(value), str(entry["unit"]), sources.get(told, told),
                    entry["date"].isoformat())  # fmt: skip
