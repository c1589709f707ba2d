"""The command line: what commands there are and which options they take. Nothing else.

typer, because a command is a function whose annotations are its options, and --help is made of
them. Every command imports what it needs when it is called.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from search.cli import options as opt
from search.cli.guard import Commands

app = typer.Typer(
    cls=Commands,
    name="search",
    help="Search over networks and configurations for private and low-energy inference.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # importing rich would double the time of --help
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.command()
def run(
    config: opt.Config,
    sets: opt.Sets = [],  # noqa: B006  # typer makes a new list for each call
    runner: opt.Runner = None,
    trials: opt.Trials = None,
    timeout: opt.Timeout = None,
    plugin: opt.Plugins = [],  # noqa: B006
    directory: opt.Directory = None,
    storage: opt.Storage = None,
    baselines: opt.Baselines = True,
    accept_change: opt.AcceptChange = False,
    json: opt.Json = False,
    quiet: opt.Quiet = False,
    debug: opt.Debug = False,
) -> None:
    """Run a study, then its baselines, then write the report.

    Called again, it goes on where it stopped. Ctrl-C ends it in order. Exit codes: 0 done,
    1 no feasible trial, 2 wrong configuration, 3 too many failures, 130 interrupted.
    """
    from search.cli.run import Request, run_config

    request = Request(
        sets=tuple(sets),
        plugins=tuple(plugin),
        runner=runner,
        trials=trials,
        timeout=timeout,
        directory=directory,
        storage=storage,
        baselines=baselines,
        accept_change=accept_change,
        json=json,
        quiet=quiet,
    )
    raise typer.Exit(run_config(config, request))


@app.command()
def resume(
    run_directory: opt.Run,
    sets: opt.Sets = [],  # noqa: B006
    runner: opt.Runner = None,
    trials: opt.Trials = None,
    timeout: opt.Timeout = None,
    plugin: opt.Plugins = [],  # noqa: B006
    storage: opt.Storage = None,
    baselines: opt.Baselines = True,
    accept_change: opt.AcceptChange = False,
    json: opt.Json = False,
    quiet: opt.Quiet = False,
    debug: opt.Debug = False,
) -> None:
    """Go on with a run that was interrupted, killed, or is to have more trials."""
    from search.cli.run import Request, resume_run

    request = Request(
        sets=tuple(sets),
        plugins=tuple(plugin),
        runner=runner,
        trials=trials,
        timeout=timeout,
        storage=storage,
        baselines=baselines,
        accept_change=accept_change,
        json=json,
        quiet=quiet,
    )
    raise typer.Exit(resume_run(run_directory, request))


@app.command()
def check(
    config: opt.Config,
    sets: opt.Sets = [],  # noqa: B006
    runner: opt.Runner = None,
    trials: opt.Trials = None,
    plugin: opt.Plugins = [],  # noqa: B006
    directory: opt.Directory = None,
    storage: opt.Storage = None,
    json: opt.Json = False,
    quiet: opt.Quiet = False,
    debug: opt.Debug = False,
) -> None:
    """Validate a configuration, run no trial, and say what a run would do."""
    from search.cli.check import check_config

    check_config(
        config,
        overrides=sets,
        plugins=plugin,
        runner=runner,
        trials=trials,
        directory=directory,
        storage=storage,
        json=json,
        quiet=quiet,
    )


@app.command("list")
def list_plugins(
    kind: Annotated[
        str | None,
        typer.Argument(
            metavar="[KIND]", help="space, method, evaluator, searcher, ... (default: all)."
        ),
    ] = None,
    plugin: opt.Plugins = [],  # noqa: B006
    json: opt.Json = False,
    debug: opt.Debug = False,
) -> None:
    """List the plugins that a configuration may name, with one line on each."""
    from search.cli.listing import list_plugins

    list_plugins(kind, plugins=plugin, json=json)


@app.command()
def show(
    run_directory: opt.Run,
    trial: Annotated[
        int | None,
        typer.Argument(metavar="TRIAL", help="Trial number (default: the study).", min=0),
    ] = None,
    storage: opt.Storage = None,
    every: Annotated[bool, typer.Option("--all", help="Show every trial of a long study.")] = False,
    json: opt.Json = False,
    debug: opt.Debug = False,
) -> None:
    """Show a study's trials, or everything about one trial."""
    from search.cli.show import show_study, show_trial

    if trial is None:
        show_study(run_directory, storage=storage, every=every, json=json)
    else:
        show_trial(run_directory, trial, storage=storage, json=json)


@app.command()
def report(
    run_directory: opt.Run,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Folder for the files (default: RUN/report)."),
    ] = None,
    storage: opt.Storage = None,
    json: opt.Json = False,
    quiet: opt.Quiet = False,
    debug: opt.Debug = False,
) -> None:
    """Write the report of a study and its baselines again, from what is stored."""
    from search.cli.report import report_run

    report_run(run_directory, output, storage=storage, json=json, quiet=quiet)


@app.command()
def export(
    run_directory: opt.Run,
    number: Annotated[
        int | None,
        typer.Argument(metavar="TRIAL", help="Trial number; else all on the front.", min=0),
    ] = None,
    target: Annotated[
        Path | None,
        typer.Argument(metavar="DIR", help="Folder to write into; else RUN/export/trial-N."),
    ] = None,
    trial: Annotated[
        list[int], typer.Option("--trial", help="Trial number, again for more.", min=0)
    ] = [],  # noqa: B006
    plugin: opt.Plugins = [],  # noqa: B006
    storage: opt.Storage = None,
    json: opt.Json = False,
    quiet: opt.Quiet = False,
    debug: opt.Debug = False,
) -> None:
    """Write trials as artefacts to deploy: weights, plan, program, facts, encrypted inference."""
    from search.cli.export import export_run

    numbers = [*([] if number is None else [number]), *trial]
    export_run(
        run_directory, numbers, target, plugins=plugin, storage=storage, json=json, quiet=quiet
    )


@app.command()
def dashboard(
    run_directory: opt.Run,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 picks a free one.")] = 8080,
    host: Annotated[
        str, typer.Option(help="Address to listen on. The dashboard has no login.")
    ] = "127.0.0.1",
    storage: opt.Storage = None,
    debug: opt.Debug = False,
) -> None:
    """Open a run's storage in optuna-dashboard until Ctrl-C."""
    from search.cli.dashboard import serve

    serve(run_directory, host=host, port=port, storage=storage)


@app.command()
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


@app.command()
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


@app.command()
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


calibration = typer.Typer(
    name="calibrate", help="Measure this host for cost models.", no_args_is_help=True
)
app.add_typer(calibration)


@calibration.command("2pc")
def calibrate_2pc(
    backend: Annotated[str, typer.Option(help="What to measure: crypten.")] = "crypten",
    json: opt.Json = False,
    quiet: opt.Quiet = False,
    debug: opt.Debug = False,
) -> None:
    """Time the operators of a two-party backend; about half a minute.

    Kept per host; cost_2pc with `calibration: auto` uses it from then on.
    """
    from search.cli.calibrate import calibrate_2pc

    calibrate_2pc(backend, json=json, quiet=quiet)


@calibration.command("ckks")
def calibrate_ckks(
    backend: Annotated[str, typer.Option(help="What to measure: tenseal.")] = "tenseal",
    json: opt.Json = False,
    quiet: opt.Quiet = False,
    debug: opt.Debug = False,
) -> None:
    """Time the operations of a CKKS library; a minute or two.

    Kept per host and version; ckks_predicted with `calibration: auto` uses it from then on.
    """
    from search.cli.calibrate import calibrate_ckks

    calibrate_ckks(backend, json=json, quiet=quiet)


@app.command()
def doctor(
    install: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="First install what needs more than plain pip: crypten or orion.",
            show_default=False,
        ),
    ] = None,
    json: opt.Json = False,
    debug: opt.Debug = False,
) -> None:
    """Look at the installation: what is there, what is missing, what is in the way."""
    from search.cli.doctor import install_package, show_findings

    if install is not None:
        install_package(install)
    raise typer.Exit(show_findings(json=json))
