"""The command line: what commands there are and which options they take. Nothing else.

typer, because a command is a function whose annotations are its options, and --help is made of
them. Every command imports what it needs when it is called.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from search.cli import agent_commands as agents
from search.cli import options as opt
from search.cli.app_chat import chat
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


app.command()(chat)


app.command()(agents.agent)
app.command()(agents.tool)


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
