"""Where Orion is installed: an environment named by a variable, one of its own, or this one."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from search.api.errors import MissingExtra
from search.workloads.data.options import cache_directory

PACKAGES = ("orion-v2-compiler", "orion-v2-evaluator", "orion-v2-lattigo")
VERSION = "2.1.8"
"""Of compiler and evaluator: the one whose behaviour is known. It needs Python 3.11 or newer."""

VARIABLE = "CIPHER_SEARCH_ORION_PYTHON"
"""Names the interpreter of the environment; without it the one in the cache folder is taken, then
the running one if it has Orion (extra ``orion``)."""

_ASK = f"import importlib.metadata as m; print(*[m.version(p) for p in {PACKAGES!r}])"
_PATIENCE_S = 30.0


@dataclass(frozen=True)
class Environment:
    """An interpreter, and the version of Orion it would import (None: none, or it does not run).

    Args:
        python: the interpreter.
        version: of the compiler.
        lattigo: of the library under it.
    """

    python: Path
    version: str | None
    lattigo: str | None = None


def environment_folder() -> Path:
    """Where an environment of its own is looked for."""
    return cache_directory() / "orion"


def find_orion() -> Environment | None:
    """The environment, or None if there is none; Orion is not imported."""
    named = os.environ.get(VARIABLE)
    if named:
        return _asked(Path(named)) if Path(named).is_file() else None
    own = environment_folder() / "bin" / "python"
    if own.is_file():
        return _asked(own)
    here = _asked(Path(sys.executable))
    return here if here.version else None


def need_orion() -> Environment:
    """The environment that has Orion.

    Raises:
        MissingExtra: there is none, or it has another version.
    """
    found = find_orion()
    if found is not None and found.version == VERSION:
        return found
    if found is None:
        named = os.environ.get(VARIABLE)
        what = f"{VARIABLE} names no file ({named})" if named else "Orion is not installed"
    elif found.version is None:
        what = f"{found.python} has no Orion"
    else:
        what = f"{found.python} has Orion {found.version} (expected {VERSION})"
    raise MissingExtra(
        f"{what}: the back end orion needs it. Run: search doctor --install orion "
        f"(or set {VARIABLE} to the interpreter of another environment that has it)"
    )


def _asked(python: Path) -> Environment:
    try:
        answer = subprocess.run(
            [python, "-I", "-c", _ASK], capture_output=True, text=True, timeout=_PATIENCE_S
        )
    except (OSError, subprocess.TimeoutExpired):
        return Environment(python, None)
    words = answer.stdout.split() if answer.returncode == 0 else []
    if len(words) != len(PACKAGES) or words[0] != words[1]:
        return Environment(python, None)
    return Environment(python, words[0], words[2])
