"""Options of the commands for agents."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.mark.parametrize(
    ("command", "options"),
    [
        ("agent", ["--controller", "--goal", "--demand", "--runs", "--seconds", "--turns",
                   "--calls", "--tokens", "--money", "--memory", "--json"]),
        ("tool", ["NAME", "CONFIG", "JSON", "--set"]),
    ],
)  # fmt: skip
def test_help_names_every_option(shell: Any, command: str, options: list[str]) -> None:
    text = shell.run(command, "--help").stdout
    for option in options:
        assert option in text


def test_limits_must_not_be_negative(shell: Any) -> None:
    result = shell.run("agent", "x.yaml", "--runs", "-1")
    assert result.exit_code == 2
    assert "--runs" in result.stderr
