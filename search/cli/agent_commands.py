"""The commands ``search agent`` and ``search tool``: their options and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from search.cli import options as opt


def agent(
    config: opt.Config,
    controller: Annotated[
        str,
        typer.Option(help="Who decides: auto, expert, llm_tools, llm_json, one_shot."),
    ] = "auto",
    goal: Annotated[
        str | None,
        typer.Option(
            help="A metric, or words such as 'under 2 s at 20 bits' (default: the first "
            "objective).",
            show_default=False,
        ),
    ] = None,
    demand: Annotated[
        list[str],
        typer.Option(
            help="A constraint, such as 'precision_ckks >= 20 bit'. Repeatable.",
            show_default=False,
        ),
    ] = [],  # noqa: B006
    runs: Annotated[
        int | None, typer.Option(min=0, help="Encrypted runs at most.", show_default=False)
    ] = None,
    seconds: Annotated[
        float | None, typer.Option(min=0, help="Seconds at most.", show_default=False)
    ] = None,
    turns: Annotated[
        int | None, typer.Option(min=0, help="Turns of a model at most.", show_default=False)
    ] = None,
    calls: Annotated[
        int | None, typer.Option(min=0, help="Tool calls at most.", show_default=False)
    ] = None,
    tokens: Annotated[
        int | None, typer.Option(min=0, help="Tokens at most.", show_default=False)
    ] = None,
    money: Annotated[
        float | None, typer.Option(min=0, help="Money at most.", show_default=False)
    ] = None,
    memory: Annotated[
        Path | None,
        typer.Option(help="JSON file of lessons to use and add to.", show_default=False),
    ] = None,
    sets: opt.Sets = [],  # noqa: B006
    plugin: opt.Plugins = [],  # noqa: B006
    directory: opt.Directory = None,
    storage: opt.Storage = None,
    json: opt.Json = False,
    quiet: opt.Quiet = False,
    debug: opt.Debug = False,
) -> None:
    """Let an agent find a configuration that meets a goal, within hard limits.

    Without a language model in the environment the rule-based expert decides. Every evaluation is a
    trial of the study; the transcript is kept beside it. Exit codes: 0 reached, 1 not, 2 wrong
    configuration.
    """
    from search.cli.agent import Wanted, load, run_agent

    limits = (
        ("encrypted_runs", runs), ("seconds", seconds), ("turns", turns), ("tool_calls", calls),
        ("tokens", tokens), ("money", money),
    )  # fmt: skip
    wanted = Wanted(controller, goal, tuple(demand), memory, limits)
    study = load(config, sets, plugin, directory, storage)
    raise typer.Exit(run_agent(study, wanted, json=json, quiet=quiet))


def tool(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Name of the tool, or list.", show_default=False)
    ],
    config: opt.Config,
    arguments: Annotated[
        str, typer.Argument(metavar="[JSON]", help="Arguments as a JSON object.")
    ] = "{}",
    sets: opt.Sets = [],  # noqa: B006
    plugin: opt.Plugins = [],  # noqa: B006
    directory: opt.Directory = None,
    storage: opt.Storage = None,
    debug: opt.Debug = False,
) -> None:
    """Call one of the tools that agents act through, and print its answer as JSON."""
    from search.cli.agent import call_tool, load

    raise typer.Exit(call_tool(load(config, sets, plugin, directory, storage), name, arguments))
