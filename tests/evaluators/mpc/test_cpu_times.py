import json
from pathlib import Path
from typing import Any

import pytest

from evaluators.linear import Rate
from evaluators.mpc.cpu_times import calibration_file, find_cpu_times, read_cpu_times
from search.api.errors import ConfigError

GOOD: dict[str, Any] = {
    "schema": 1,
    "backend": "crypten",
    "host": {"name": "box", "cores": 2},
    "date": "2026-01-31",
    "cpu_seconds": {"relu": {"call": 0.004, "element": 1e-6}, "conv": {"mac": 2e-9}},
}


def written(folder: Path, **changes: object) -> Path:
    path = folder / "mine.json"
    path.write_text(json.dumps({**GOOD, **changes}), encoding="utf-8")
    return path


def test_rates_in_seconds(tmp_path: Path) -> None:
    found = read_cpu_times(written(tmp_path), "crypten")
    assert found.seconds == {"relu": Rate(call=0.004, element=1e-6), "conv": Rate(mac=2e-9)}
    assert found.describe() == "measured on box, 2026-01-31, for conv, relu"
    assert read_cpu_times(written(tmp_path, host="lab"), "crypten").host == "lab"


def test_auto_takes_the_file_of_this_host_if_there_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CIPHER_SEARCH_CACHE", str(tmp_path))
    file = calibration_file("crypten")
    assert file == tmp_path / "calibration" / "2pc-crypten.json"
    assert find_cpu_times("auto", "crypten") is None
    file.parent.mkdir()
    file.write_text(json.dumps(GOOD), encoding="utf-8")
    found = find_cpu_times("auto", "crypten")
    assert found is not None
    assert found.path == str(file)
    assert find_cpu_times("none", "crypten") is None
    assert find_cpu_times("auto", "semi2k") is None


def test_a_path(tmp_path: Path) -> None:
    assert find_cpu_times(str(written(tmp_path)), "crypten") is not None
    with pytest.raises(ConfigError, match=r"cannot read the calibration.*search calibrate 2pc"):
        find_cpu_times(str(tmp_path / "no.json"), "crypten")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schema": 2}, r"got schema 2; expected 1"),
        ({"backend": "spu"}, r"another backend \(got 'spu'; expected 'crypten'\)"),
        ({"cpu_seconds": {}}, "no CPU times"),
        ({"cpu_seconds": {"relu": 3}}, r"cpu_seconds\.relu: expected seconds by call, element"),
        ({"cpu_seconds": {"relu": {"row": 1.0}}}, "expected seconds by call"),
        ({"cpu_seconds": {"relu": {"call": -1}}}, r"relu\.call: expected a finite number, 0 or"),
        ({"cpu_seconds": {"relu": {"call": True}}}, "expected a finite number"),
        ({"cpu_seconds": {"relu": {"call": float("nan")}}}, "expected a finite number"),
    ],
)
def test_what_is_no_calibration(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as error:
        read_cpu_times(written(tmp_path, **changes), "crypten")
    assert "mine.json" in str(error.value)


@pytest.mark.parametrize(("text", "message"), [("{", "not a JSON file"), ("[]", "schema 'list'")])
def test_other_files(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=message):
        read_cpu_times(path, "crypten")
