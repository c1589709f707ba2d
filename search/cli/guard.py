"""Errors and interrupts of commands, turned into one message and an exit code."""

from __future__ import annotations

import errno
import json
import os
import sys
from typing import Any

import typer
from typer.core import TyperGroup

from search.api.errors import SearchError

INTERRUPTED = 130


class Commands(TyperGroup):
    """The commands: what people caused gets one message, never a traceback.

    ``--debug`` (or CIPHER_SEARCH_DEBUG=1) lets exceptions through with their traceback.
    """

    def invoke(self, ctx: Any) -> Any:
        """Run the command named on the command line.

        Raises:
            typer.Exit: with the exit code of a failure.
        """
        try:
            return super().invoke(ctx)
        except SearchError as error:
            if wants_traceback(ctx):
                raise
            _fail(ctx, str(error), error.exit_code)
        except KeyboardInterrupt:
            if wants_traceback(ctx):
                raise
            _fail(ctx, "interrupted", INTERRUPTED)
        except (typer.Exit, typer.Abort):
            raise
        except Exception as error:  # noqa: BLE001  # the last line of defence of a command
            if wants_traceback(ctx) or _is_usage(error) or _is_closed_pipe(error):
                raise
            _fail(ctx, _unexpected(error), 1)


def remember(ctx: Any, name: str, value: Any) -> Any:
    """Keep an option for the whole command, so that error messages can heed it; returns it."""
    ctx.find_root().ensure_object(dict)[name] = value
    return value


def wants_traceback(ctx: Any) -> bool:
    """Whether tracebacks were asked for."""
    flag = os.environ.get("CIPHER_SEARCH_DEBUG", "")
    return bool(ctx.find_root().ensure_object(dict).get("debug")) or flag not in ("", "0")


def _is_usage(error: Exception) -> bool:
    """Whether typer itself shows this error: a wrong option or argument."""
    return hasattr(error, "show") and hasattr(error, "exit_code")


def _is_closed_pipe(error: Exception) -> bool:
    """Whether nobody reads any more, as in ``search show RUN | head``; typer ends quietly."""
    return isinstance(error, OSError) and error.errno == errno.EPIPE


def _unexpected(error: Exception) -> str:
    return (
        f"unexpected {type(error).__name__}: {str(error) or 'no message'}\n"
        "This is a fault of cipher-search or of a plugin. Add --debug for the traceback"
    )


def _fail(ctx: Any, message: str, code: int) -> None:
    """Say it on stderr, and with ``--json`` as the last object on stdout; then exit."""
    sys.stdout.flush()
    print(f"error: {message}", file=sys.stderr)
    if ctx.find_root().ensure_object(dict).get("json"):
        print(json.dumps({"event": "error", "message": message, "exit_code": code}), flush=True)
    raise typer.Exit(code)
