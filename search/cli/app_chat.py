"""The options of ``search chat``; what it does stands in :mod:`search.cli.chat`."""

from __future__ import annotations

from typing import Annotated

import typer

from search.cli import options as opt


def chat(
    config: opt.Config,
    sets: opt.Sets = [],  # noqa: B006
    controller: Annotated[
        str,
        typer.Option(help="Who pursues goals: auto, expert, llm_tools, llm_json, one_shot."),
    ] = "auto",
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Run what is dear without asking.")
    ] = False,
    plugin: opt.Plugins = [],  # noqa: B006
    directory: opt.Directory = None,
    storage: opt.Storage = None,
    debug: opt.Debug = False,
) -> None:
    """State goals in words, approve dear runs, ask why, change knobs, take the result.

    Works in a plain terminal and through a pipe; with a language model if one is set in the
    environment, else with the rule-based expert. /help lists what can be said.
    """
    from search.cli.chat import chat_about

    raise typer.Exit(
        chat_about(
            config,
            sets=sets,
            plugins=plugin,
            directory=directory,
            storage=storage,
            controller=controller,
            yes=yes,
        )
    )
