"""The command line as a whole: help, usage errors, start-up time."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

COMMANDS = [
    "run", "resume", "check", "list", "show", "report", "export", "dashboard", "agent", "tool",
    "chat", "doctor",
]  # fmt: skip


def test_help_names_every_command(shell: Any) -> None:
    result = shell.run("--help")
    assert result.exit_code == 0
    for command in COMMANDS:
        assert f"\n  {command} " in result.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(shell: Any, command: str) -> None:
    result = shell.run(command, "--help")
    assert result.exit_code == 0
    assert "--debug" in result.stdout


@pytest.mark.parametrize("words", [["nonsense"], ["run"], ["run", "a", "b"], ["show", "x", "y"]])
def test_wrong_usage_ends_with_2(shell: Any, words: list[str]) -> None:
    result = shell.run(*words)
    assert result.exit_code == 2
    assert "Usage" in result.stderr


def test_help_imports_little() -> None:
    code = (
        "import sys; sys.argv = ['search', '--help']\n"
        "from search.cli import main\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code\n"
        "heavy = {'torch', 'optuna', 'ray', 'numpy', 'pydantic', 'rich', 'yaml'}\n"
        "heavy &= set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


def test_an_unexpected_error_is_short_and_says_how_to_see_more(
    shell: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: Any, **options: Any) -> None:
        raise ZeroDivisionError("far inside")

    monkeypatch.setattr("search.cli.listing.list_plugins", broken)
    result = shell.run("list")
    assert result.exit_code == 1
    assert "ZeroDivisionError: far inside" in result.stderr
    assert "--debug" in result.stderr
    assert "Traceback" not in result.stderr
    assert isinstance(shell.run("list", "--debug").exception, ZeroDivisionError)
    monkeypatch.setenv("CIPHER_SEARCH_DEBUG", "1")
    assert isinstance(shell.run("list").exception, ZeroDivisionError)


def test_python_m_search_is_the_command(shell: Any) -> None:
    code, out, err = shell.call("list", "runner")
    assert (code, err) == (0, "")
    assert "inline" in out


def test_a_reader_that_leaves_is_no_error(shell: Any) -> None:
    process = shell.start("list")
    process.stdout.close()
    assert process.wait(60) in (0, 1)
    assert "Traceback" not in process.stderr.read()
    process.stderr.close()
