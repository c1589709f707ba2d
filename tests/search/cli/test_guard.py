"""Whatever goes wrong in a command becomes one message and the right exit code."""

from __future__ import annotations

import errno
import json

import pytest
import typer
from typer.testing import CliRunner, Result

from search.api.errors import ConfigError, StoreError, TooManyFailures
from search.cli import options as opt
from search.cli.guard import Commands

RAISED: dict[str, BaseException] = {
    "store": StoreError("disk full"),
    "config": ConfigError("wrong", path="budget"),
    "failures": TooManyFailures("5 in a row"),
    "interrupt": KeyboardInterrupt(),
    "fault": ZeroDivisionError("by zero"),
    "silent": ValueError(),
    "usage": typer.BadParameter("no such thing"),
    "exit": typer.Exit(7),
}


def run(*words: str) -> Result:
    app = typer.Typer(cls=Commands, pretty_exceptions_enable=False)

    @app.command()
    def fail(kind: str, debug: opt.Debug = False, json: opt.Json = False) -> None:
        raise RAISED[kind]

    @app.command()
    def other() -> None:
        """A second command makes a group."""

    return CliRunner().invoke(app, ["fail", *words])


@pytest.fixture(autouse=True)
def _no_debug(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CIPHER_SEARCH_DEBUG", raising=False)


@pytest.mark.parametrize(
    ("kind", "code", "message"),
    [
        ("store", 1, "error: disk full\n"),
        ("config", 2, "error: budget: wrong\n"),
        ("failures", 3, "error: 5 in a row\n"),
        ("interrupt", 130, "error: interrupted\n"),
    ],
)
def test_what_people_cause_is_one_line(kind: str, code: int, message: str) -> None:
    result = run(kind)
    assert (result.exit_code, result.stderr, result.stdout) == (code, message, "")


@pytest.mark.parametrize(
    ("kind", "text"),
    [("fault", "ZeroDivisionError: by zero"), ("silent", "ValueError: no message")],
)
def test_a_fault_of_ours_says_so_and_how_to_learn_more(kind: str, text: str) -> None:
    result = run(kind)
    assert result.exit_code == 1
    assert result.stderr.startswith(f"error: unexpected {text}\n")
    assert "Add --debug for the traceback" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("kind", ["store", "interrupt", "fault"])
@pytest.mark.parametrize("way", ["option", "environment"])
def test_debug_lets_exceptions_through(
    kind: str, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if way == "environment":
        monkeypatch.setenv("CIPHER_SEARCH_DEBUG", "1")
    result = run(kind, *(["--debug"] if way == "option" else []))
    assert "error:" not in result.stderr
    if kind != "interrupt":  # click turns that one into an exit itself
        assert result.exception is RAISED[kind]


def test_debug_can_be_switched_off_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CIPHER_SEARCH_DEBUG", "0")
    assert run("store").stderr == "error: disk full\n"


def test_machines_get_the_error_as_their_last_object() -> None:
    result = run("config", "--json")
    assert json.loads(result.stdout.splitlines()[-1]) == {
        "event": "error", "message": "budget: wrong", "exit_code": 2,
    }  # fmt: skip
    assert result.stderr == "error: budget: wrong\n"


def test_wrong_usage_and_exits_stay_typers() -> None:
    assert run("exit").exit_code == 7
    usage = run("usage")
    assert usage.exit_code == 2
    assert "no such thing" in usage.stderr
    assert "unexpected" not in usage.stderr


def test_a_closed_pipe_is_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RAISED, "pipe", OSError(errno.EPIPE, "broken pipe"))
    assert "error:" not in run("pipe").stderr
    monkeypatch.setitem(RAISED, "disk", OSError(errno.ENOSPC, "no space"))
    assert "unexpected OSError" in run("disk").stderr
