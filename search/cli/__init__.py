"""The command ``search``. This module imports next to nothing, so that ``--help`` is quick."""

from __future__ import annotations


def main() -> None:
    """Entry point of the command; ends the process with its exit code."""
    from search.cli.app import app

    app(prog_name="search")
