from __future__ import annotations

from pathlib import Path

import pytest

from search.api.errors import ConfigError
from spaces.eve.device.table import UNITS, Constant, Cost, Profile, load_profile, profiles

OWN = 'value = {value}, unit = "{unit}", source = "bench", date = 2026-01-31'


def written(path: Path, constants: str, base: str = "onchip_fram") -> str:
    path.write_text(f'base = "{base}"\n[constants]\n{constants}\n', encoding="utf-8")
    return str(path)


@pytest.mark.parametrize("name", profiles())
def test_every_constant_has_unit_source_and_date(name: str) -> None:
    profile = load_profile(name)
    assert profile.constants.keys() == UNITS.keys()
    assert all(c.unit and c.source and c.date for c in profile.constants.values())


def test_published_costs() -> None:
    profile = load_profile("external_fram")
    assert profile.read(100, 1).energy_j == pytest.approx(2.7e-8 * 100 + 2.0e-7)
    assert profile.read(100, 1).cycles == pytest.approx(64 * 100 + 424)
    assert profile.write(1, 1).energy_j == pytest.approx(2.68e-8 + 1.93e-7)
    assert profile.mac(400, 2).cycles == pytest.approx(1.5 * 400 + 2 * 616)
    assert profile.mac(400, 2).energy_j == pytest.approx(5.27e-10 * 400 + 2 * 2.044e-7)
    assert profile.seconds(16e6) == 1.0
    # An address is so many additions and multiplications in both, energy and cycles.
    weight = profile.operation("weight")
    assert weight.cycles == 8 * 12 + 9 * 44
    assert weight.energy_j == pytest.approx(8 * 3.94e-9 + 9 * 1.925e-8)


def test_memory_inside_the_chip_is_faster_and_smaller() -> None:
    outside, inside = load_profile("external_fram"), load_profile("onchip_fram")
    assert inside.read(100, 1).cycles < outside.read(100, 1).cycles / 10
    assert inside.value("fram") == 256 * 1024 < outside.value("fram")
    assert inside.digest != outside.digest


def test_costs_add_up() -> None:
    assert Cost(1.0, 2.0) + 2 * Cost(0.5, 1.0) == Cost(2.0, 4.0)


def test_own_profile_changes_constants(tmp_path: Path) -> None:
    entry = "capacitance = {" + OWN.format(value=10, unit="mF") + "}"
    own = load_profile(written(tmp_path / "mine.toml", entry))
    assert own.name == "mine"
    assert own.value("capacitance") == pytest.approx(0.01)
    assert own.value("sram") == load_profile("onchip_fram").value("sram")
    assert own.constants["capacitance"].source == "bench"


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("capacitance = 3", "expected value, unit, source and date"),
        ("capacitance = {" + OWN.format(value=1, unit="V") + "}", "wrong unit"),
        ("capacitance = {" + OWN.format(value=-1, unit="F") + "}", "at least 0"),
        ("capacity = {" + OWN.format(value=1, unit="F") + "}", "Did you mean 'capacitance'"),
        ("voltage_on = {" + OWN.format(value=3.5, unit="V") + "}", "voltages must rise"),
        ('margin = {value = 1, unit = "1", source = "x", date = "soon"}', "expected a date"),
        ("margin = {" + OWN.format(value=2, unit="1") + "}", "margin"),
        ("=", "not a TOML file"),
    ],
)
def test_wrong_profiles_are_told(tmp_path: Path, entry: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        load_profile(written(tmp_path / "mine.toml", entry)).values  # noqa: B018
    assert "mine" in str(caught.value)


def test_unknown_profiles_are_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="known: external_fram, onchip_fram"):
        load_profile("fram")
    with pytest.raises(ConfigError, match="unknown device profile"):
        load_profile(written(tmp_path / "mine.toml", "", base="none"))
    with pytest.raises(ConfigError, match="cannot read"):
        load_profile(str(tmp_path / "absent.toml"))
    with pytest.raises(ConfigError, match="missing"):
        Profile("empty", {"clock": Constant(1.0, "Hz", "x", "2026-01-31")})
