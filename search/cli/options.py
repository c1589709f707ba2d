"""Options that several commands share, each with its help."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from search.cli.guard import remember


def _remember(ctx: typer.Context, param: Any, value: Any) -> Any:
    return remember(ctx, str(param.name), value)


Debug = Annotated[
    bool,
    typer.Option("--debug", help="Show tracebacks.", callback=_remember, is_eager=True),
]
Json = Annotated[
    bool,
    typer.Option(
        "--json",
        help="Output for machines: JSON on stdout.",
        callback=_remember,
        is_eager=True,
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say only what matters at the end.")]
Config = Annotated[
    Path, typer.Argument(metavar="CONFIG", help="Configuration file (YAML).", show_default=False)
]
Run = Annotated[
    Path,
    typer.Argument(metavar="RUN", help="Run directory, such as runs/NAME.", show_default=False),
]
Sets = Annotated[
    list[str],
    typer.Option(
        "--set",
        "-s",
        metavar="PATH=VALUE",
        help="Override one value of the configuration, such as budget.trials=5. Repeatable.",
        show_default=False,
    ),
]
Plugins = Annotated[
    list[Path],
    typer.Option(
        "--plugin",
        metavar="FILE.py",
        help="Python file whose @register lines add plugins. It is run. Repeatable.",
        show_default=False,
    ),
]
Runner = Annotated[
    str | None,
    typer.Option(help="Runner: inline, process, ray_tasks, ray_tune.", show_default=False),
]
Trials = Annotated[
    int | None,
    typer.Option(min=1, help="Trials in all (budget.trials).", show_default=False),
]
Timeout = Annotated[
    str | None,
    typer.Option(
        metavar="TIME", help="Stop after this time, such as '10 min'.", show_default=False
    ),
]
Storage = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="Storage URL (study.storage), for one with a password. "
        "Better: set it in the environment as CIPHER_SEARCH_STORAGE.",
        envvar="CIPHER_SEARCH_STORAGE",
        show_default=False,
        show_envvar=False,
    ),
]
Directory = Annotated[
    Path | None,
    typer.Option(help="Folder that holds run directories (study.directory).", show_default=False),
]
AcceptChange = Annotated[
    bool,
    typer.Option("--accept-change", help="Go on although the configuration has changed."),
]
Baselines = Annotated[
    bool,
    typer.Option("--baselines/--no-baselines", help="Run the baselines after the study."),
]
