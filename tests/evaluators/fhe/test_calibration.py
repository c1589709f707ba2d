"""Calibration: what is kept of this host, read back, and learnt from encrypted runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from evaluators.fhe import calibration
from search.api.errors import ConfigError

DATA: dict[str, Any] = {
    "schema": 1, "backend": "tenseal", "version": "0.3.18", "host": {"name": "box"},
    "date": "2026-01-02", "samples": 2, "spread": 0.0, "factor": 1.25,
    "milliseconds": {"rotate": {"13": [0.1, 0.2, 0.0]}, "multiply_plain": {"13": [0, 0.1, 0]}},
}  # fmt: skip


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CIPHER_SEARCH_CACHE", str(tmp_path))
    return tmp_path


def test_auto_takes_the_shipped_table_until_there_is_a_measurement(cache: Path) -> None:
    before = calibration.find_times("auto")
    assert not before.measured
    assert "not of this host" in before.describe()
    file = calibration.calibration_file("tenseal")
    file.parent.mkdir()
    file.write_text(json.dumps(DATA))
    after = calibration.find_times("auto")
    assert after.measured
    assert after.factor == 1.25
    assert "measured on box, 2026-01-02" in after.describe()
    assert after.milliseconds("rotate", 13, 2) == pytest.approx(0.1 * 6 + 0.2 * 3)
    assert after.milliseconds("multiply_scalar", 13, 2) == pytest.approx(0.2)
    assert not calibration.find_times("none").measured


def test_paths_may_be_measurements_or_tables(cache: Path) -> None:
    file = cache / "own.json"
    file.write_text(json.dumps(DATA))
    assert calibration.find_times(str(file)).factor == 1.25
    assert "lattigo" in calibration.find_times("none", "orion").library
    with pytest.raises(ConfigError, match="unknown backend 'abacus' \\(known: tenseal, orion\\)"):
        calibration.find_times("auto", "abacus")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": 9}, "not a calibration of this version \\(got schema 9; expected 1\\)"),
        ({"backend": "other"}, "another backend \\(got 'other'; expected 'tenseal'\\)"),
        ({"milliseconds": {}}, "no times in it"),
        ({"milliseconds": {"rotate": []}}, "expected log2 N -> three numbers"),
        ({"milliseconds": {"rotate": {"13": [1, 2]}}}, "expected log2 N -> three numbers"),
        ({"milliseconds": {"rotate": {"13": [1, 2, -3]}}}, "0 or more \\(got -3\\)"),
        ({"factor": None}, "calibration.factor"),
    ],
)
def test_damaged_files_are_refused(cache: Path, change: dict[str, Any], message: str) -> None:
    file = cache / "own.json"
    file.write_text(json.dumps({**DATA, **change}))
    with pytest.raises(ConfigError, match=message):
        calibration.find_times(str(file))


def test_missing_files_name_the_command(cache: Path) -> None:
    with pytest.raises(ConfigError, match="`search calibrate ckks` makes one"):
        calibration.find_times(str(cache / "none.json"))
    (cache / "bad.json").write_text("{")
    with pytest.raises(ConfigError, match="not a JSON file"):
        calibration.find_times(str(cache / "bad.json"))


def test_runs_teach_medians(cache: Path) -> None:
    assert calibration.corrections() == calibration.Corrections(1.0, 0.0, 0)
    for ratio, bits in ((1.1, 0.5), (1.2, -0.5), (3.0, 0.25)):
        calibration.learn((100.0, 12.0), (100.0 * ratio, 12.0 + bits))
    found = calibration.corrections()
    assert found.runs == 3
    assert found.latency == pytest.approx(1.2)
    assert found.bits == pytest.approx(0.25)
    file = next((cache / "calibration").glob("*.jsonl"))
    file.write_text(file.read_text() + '{"latency": 1.')
    assert calibration.corrections() == found


def test_nonsense_is_not_learnt(cache: Path) -> None:
    for predicted, measured in (((0.0, 1.0), (1.0, 1.0)), ((1.0, 1.0), (1.0, float("nan")))):
        with pytest.raises(ConfigError, match="expected finite numbers and positive times"):
            calibration.learn(predicted, measured)
    assert calibration.corrections().runs == 0


def test_unknown_backends_are_refused() -> None:
    with pytest.raises(ConfigError, match="unknown backend 'abacus' \\(known: tenseal\\)"):
        calibration.calibrate("abacus")


def test_measures_this_host(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = []
    calibration.learn((100.0, 12.0), (200.0, 12.0))
    path = calibration.calibrate(
        grid={11: (1, 2, 3)}, rounds=1, progress=lambda *entry: told.append(entry)
    )
    assert path == calibration.calibration_file("tenseal")
    assert told == [(1, 2, "ring dimension 2048"), (2, 2, "an encrypted block")]
    times = calibration.find_times("auto")
    assert 0.01 < times.milliseconds("rotate", 11, 2) < 20
    assert times.milliseconds("rotate", 11, 3) > times.milliseconds("add", 11, 3)
    assert 0.3 < times.factor < 5
    assert calibration.corrections().runs == 0  # what was learnt of other times
