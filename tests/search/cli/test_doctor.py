"""``search doctor``: text, JSON and exit code."""

from __future__ import annotations

import json
from typing import Any

import pytest

from search.doctor import Finding


def test_text_and_json_agree(shell: Any) -> None:
    result = shell.run("doctor")
    assert result.exit_code == 0
    assert "all is well" in result.stdout
    data = json.loads(shell.run("doctor", "--json").stdout)
    assert data["healthy"]
    for finding in data["findings"]:
        assert finding["name"] in result.stdout


def test_something_wrong_ends_with_1(shell: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    found = [Finding("packages", "torch", "wrong", "not installed", "pip install torch")]
    monkeypatch.setattr("search.cli.doctor.examine", lambda: found)
    result = shell.run("doctor")
    assert result.exit_code == 1
    assert "to mend" in result.stdout
    assert "pip install torch" in result.stdout
    assert not json.loads(shell.run("doctor", "--json").stdout)["healthy"]


def test_installs_what_it_knows_alone(shell: Any) -> None:
    result = shell.run("doctor", "--install", "numpy")
    assert result.exit_code == 2
    assert "--install knows crypten and orion alone (got 'numpy')" in result.stderr
