"""Back ends are found, absent with the command that installs them, or of an untested version."""

from __future__ import annotations

from pathlib import Path

import pytest

from search import doctor, doctor_backends
from search.finding import Finding


def test_a_calibration_is_read_or_its_fault_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CIPHER_SEARCH_CACHE", str(tmp_path))

    def finding() -> Finding:
        return next(f for f in doctor.examine() if f.name == "calibration of crypten")

    assert (finding().status, finding().fix) == ("absent", "search calibrate 2pc")
    file = tmp_path / "calibration" / "2pc-crypten.json"
    file.parent.mkdir()
    file.write_text("{}")
    assert finding().status == "wrong"
    relu = '"cpu_seconds": {"relu": {"call": 0.001}}'
    file.write_text(f'{{"schema": 1, "backend": "crypten", "host": "here", {relu}}}')
    assert finding().status == "ok"
    assert "measured on here" in finding().detail


def test_times_of_encrypted_operations_are_read_or_their_fault_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from evaluators.fhe.calibration import calibration_file

    monkeypatch.setenv("CIPHER_SEARCH_CACHE", str(tmp_path))
    (finding,) = doctor_backends.calibration_ckks()
    assert (finding.status, finding.fix) == ("absent", "search calibrate ckks")
    file = calibration_file("tenseal")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("{}")
    (finding,) = doctor_backends.calibration_ckks()
    assert finding.status == "wrong"


def test_spu_is_absent_untested_or_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CIPHER_SEARCH_SPU_PYTHON", raising=False)
    monkeypatch.setenv("CIPHER_SEARCH_CACHE", str(tmp_path))
    (finding,) = doctor_backends.spu()
    assert finding.status == "absent"
    assert finding.fix.endswith("pip install spu==0.9.5")
    python = tmp_path / "spu" / "bin" / "python"
    python.parent.mkdir(parents=True)
    for printed, status in (("0.9.3", "wrong"), ("0.9.5", "ok")):
        python.write_text(f"#!/bin/sh\necho {printed}\n")
        python.chmod(0o755)
        (finding,) = doctor_backends.spu()
        assert finding.status == status
        assert finding.detail.startswith(f"{printed} at {python}")
    (cache,) = doctor._cache()
    assert ", 0.0 MB" in cache.detail  # the environment is not counted


def test_orion_is_absent_untested_or_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CIPHER_SEARCH_ORION_PYTHON", str(tmp_path / "none"))
    monkeypatch.setenv("CIPHER_SEARCH_CACHE", str(tmp_path))
    (finding,) = doctor_backends.orion()
    assert finding.status == "absent"
    assert finding.fix == "search doctor --install orion"
    monkeypatch.delenv("CIPHER_SEARCH_ORION_PYTHON")
    python = tmp_path / "orion" / "bin" / "python"
    python.parent.mkdir(parents=True)
    for printed, status in (("2.0.0 2.0.0 6.1", "wrong"), ("2.1.8 2.1.8 6.2.4", "ok")):
        python.write_text(f"#!/bin/sh\necho {printed}\n")
        python.chmod(0o755)
        (finding,) = doctor_backends.orion()
        assert finding.status == status
        assert finding.detail.startswith(printed.split()[0])
        assert str(python) in finding.detail
    (cache,) = doctor._cache()
    assert ", 0.0 MB" in cache.detail
