"""Where SPU is installed: an environment of its own, found by a variable or at a fixed place."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from search.api.errors import MissingExtra
from search.workloads.data.options import cache_directory

VERSION = "0.9.5"
"""The version whose behaviour is known; it needs Python 3.10 or 3.11."""

VARIABLE = "CIPHER_SEARCH_SPU_PYTHON"
"""Names the interpreter of the environment; without it the one in the cache folder is taken."""

_ASK = "import importlib.metadata as m; print(m.version('spu'))"
_PATIENCE_S = 30.0


@dataclass(frozen=True)
class Environment:
    """An interpreter, and the version of SPU it would import (None: none, or it does not run)."""

    python: Path
    version: str | None


def install_command() -> str:
    """The command that makes the environment where it is looked for."""
    place = cache_directory() / "spu"
    return f"python3.11 -m venv {place} && {place}/bin/pip install spu=={VERSION}"


def find_spu() -> Environment | None:
    """The environment, or None if there is no such interpreter; SPU is not imported."""
    named = os.environ.get(VARIABLE)
    python = Path(named) if named else cache_directory() / "spu" / "bin" / "python"
    if not python.is_file():
        return None
    try:
        answer = subprocess.run(
            [python, "-I", "-c", _ASK], capture_output=True, text=True, timeout=_PATIENCE_S
        )
    except (OSError, subprocess.TimeoutExpired):
        return Environment(python, None)
    return Environment(python, answer.stdout.strip() if answer.returncode == 0 else None)


def need_spu() -> Path:
    """The interpreter that has SPU.

    Raises:
        MissingExtra: there is none, or it has another version.
    """
    found = find_spu()
    if found is not None and found.version == VERSION:
        return found.python
    if found is None:
        named = os.environ.get(VARIABLE)
        what = f"{VARIABLE} names no file ({named})" if named else "SPU is not installed"
    elif found.version is None:
        what = f"{found.python} has no SPU"
    else:
        what = f"{found.python} has SPU {found.version} (expected {VERSION})"
    raise MissingExtra(
        f"{what}: real runs of SEMI2K and Cheetah need it. Run: {install_command()} "
        f"(or set {VARIABLE} to the interpreter of another environment that has it)"
    )
