"""``search calibrate 2pc``: what it keeps and says."""

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
