"""Shared options: spelling, bounds and sources are the same for every command."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from search.cli import options as opt


def run(*words: str, **environment: str) -> tuple[Result, dict[str, Any]]:
    app = typer.Typer()
    seen: dict[str, Any] = {}

    @app.command()
    def command(
        ctx: typer.Context,
        config: opt.Config,
        sets: opt.Sets = [],  # noqa: B006
        plugin: opt.Plugins = [],  # noqa: B006
        runner: opt.Runner = None,
        trials: opt.Trials = None,
        storage: opt.Storage = None,
        baselines: opt.Baselines = True,
        accept_change: opt.AcceptChange = False,
        json: opt.Json = False,
        quiet: opt.Quiet = False,
        debug: opt.Debug = False,
    ) -> None:
        seen.update(locals(), remembered=dict(ctx.find_root().obj))

    return CliRunner(env=environment).invoke(app, list(words)), seen


def test_nothing_given_changes_nothing() -> None:
    result, seen = run("a.yaml")
    assert result.exit_code == 0
    assert seen["config"] == Path("a.yaml")
    assert (list(seen["sets"]), list(seen["plugin"])) == ([], [])
    assert [seen[k] for k in ("runner", "trials", "storage")] == [None, None, None]
    assert (seen["baselines"], seen["accept_change"], seen["quiet"]) == (True, False, False)


def test_some_may_be_repeated_and_keep_their_order() -> None:
    _, seen = run("a.yaml", "-s", "x=1", "--set", "x=2", "--plugin", "a.py", "--plugin", "b.py")
    assert list(seen["sets"]) == ["x=1", "x=2"]
    assert list(seen["plugin"]) == [Path("a.py"), Path("b.py")]


def test_debug_and_json_are_remembered_for_error_messages() -> None:
    assert run("a.yaml", "--json")[1]["remembered"] == {"json": True, "debug": False}
    assert run("a.yaml", "--debug")[1]["remembered"] == {"json": False, "debug": True}


@pytest.mark.parametrize("trials", ["0", "-1", "many"])
def test_trials_are_at_least_one(trials: str) -> None:
    result, seen = run("a.yaml", "--trials", trials)
    assert result.exit_code == 2
    assert not seen


def test_a_storage_with_a_password_may_come_from_the_environment_unseen() -> None:
    secret = "postgresql://me:hush@db/x"
    assert run("a.yaml", CIPHER_SEARCH_STORAGE=secret)[1]["storage"] == secret
    given = run("a.yaml", "--storage", "sqlite:///s", CIPHER_SEARCH_STORAGE=secret)
    assert given[1]["storage"] == "sqlite:///s"
    assert "hush" not in run("--help", CIPHER_SEARCH_STORAGE=secret)[0].output


def test_baselines_can_be_left_out() -> None:
    assert run("a.yaml", "--no-baselines")[1]["baselines"] is False
