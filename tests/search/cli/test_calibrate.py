"""``search calibrate``: what it keeps and says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from evaluators.mpc.crypten.shim import INSTALL, installed


def test_unknown_backend_is_a_wrong_configuration(shell: Any) -> None:
    result = shell.run("calibrate", "2pc", "--backend", "abacus")
    assert result.exit_code == 2
    assert "unknown backend 'abacus' (known: crypten)" in result.stderr


def test_without_crypten_the_command_is_named(shell: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "crypten", None)
    result = shell.run("calibrate", "2pc")
    assert result.exit_code == 2
    assert "search doctor --install crypten" in result.stderr


@pytest.mark.crypten
@pytest.mark.slow
@pytest.mark.skipif(not installed(), reason=f"CrypTen is not installed ({INSTALL})")
def test_measures_keeps_and_tells(
    shell: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CIPHER_SEARCH_CACHE", str(tmp_path))
    monkeypatch.setattr("evaluators.mpc.crypten.samples.measure.__kwdefaults__", {
        "sizes": ((2, 8), (4, 8)), "repeats": 2, "timeout_s": 60.0, "progress": None,
    })  # fmt: skip
    result = shell.run("calibrate", "2pc")
    assert result.exit_code == 0, result.stderr
    assert "measured 2 of 2 networks" in result.stderr
    assert "relu" in result.stdout
    data = json.loads((tmp_path / "calibration" / "2pc-crypten.json").read_text())
    assert data["backend"] == "crypten"
    assert data["cpu_seconds"]["relu"]["call"] > 0


def test_unknown_ckks_library_is_a_wrong_configuration(shell: Any) -> None:
    result = shell.run("calibrate", "ckks", "--backend", "abacus")
    assert result.exit_code == 2
    assert "unknown backend 'abacus' (known: tenseal)" in result.stderr


@pytest.mark.parametrize("json_wanted", [False, True])
def test_measures_operations_on_ciphertexts(
    shell: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, json_wanted: bool
) -> None:
    monkeypatch.setenv("CIPHER_SEARCH_CACHE", str(tmp_path))
    monkeypatch.setattr("evaluators.fhe.seal_host.GRID", {11: (1, 2)})
    monkeypatch.setattr("evaluators.fhe.seal_host.ROUNDS", 1)
    monkeypatch.setattr("evaluators.fhe.seal_host.block_factor", lambda times: 1.25)
    result = shell.run("calibrate", "ckks", *(["--json"] if json_wanted else []))
    assert result.exit_code == 0, result.stderr
    (kept,) = (tmp_path / "calibration").glob("ckks-tenseal-*.json")
    data = json.loads(kept.read_text())
    assert data["milliseconds"]["rotate"]["11"][0] >= 0
    if json_wanted:
        assert json.loads(result.stdout) == {"file": str(kept), **data}
    else:
        assert "measured 1 of 2: ring dimension 2048" in result.stderr
        assert "N 2048" in result.stdout
        assert "1.25 times" in result.stdout
        assert str(kept) in result.stdout.replace("\n", "")
