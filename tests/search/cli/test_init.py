"""The entry point of the command: quick to import, and its exit code reaches the shell."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from search.cli import main


def test_it_ends_the_process_with_the_commands_code(
    shell: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["search", "check", "absent.yaml"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("error: absent.yaml")


def test_help_names_the_command_as_installed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["/anywhere/__main__.py", "--help"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    assert "Usage: search [OPTIONS] COMMAND" in capsys.readouterr().out


def test_importing_it_loads_no_command() -> None:
    code = "import sys, search.cli; print('typer' in sys.modules, 'search.cli.app' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False False"
