"""Make an environment of its own for Orion, beside this project's."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path

from evaluators.fhe.orion.environment import (
    PACKAGES,
    VARIABLE,
    VERSION,
    environment_folder,
    need_orion,
)
from search.api.errors import SearchError

_LINE = 300


def commands(constraints: Path) -> list[list[str]]:
    """The two commands: make the environment, install Orion into it.

    Args:
        constraints: file that pins PyTorch to the version here: its newest build for Linux would
            bring several GB of CUDA, for a compiler that needs none of it.
    """
    place = environment_folder()
    wanted = [f"{name}=={VERSION}" for name in PACKAGES[:2]] + [PACKAGES[2]]
    pip = [str(place / "bin" / "python"), "-m", "pip", "install", "-q", "-c", str(constraints)]
    return [[sys.executable, "-m", "venv", str(place)], [*pip, *wanted]]


def install(say: Callable[[str], None]) -> str:
    """Make the environment, and ask it for its version.

    Args:
        say: told each command before it runs.

    Returns:
        one line about what is there now.

    Raises:
        SearchError: a command failed, or Orion is not there after it.
    """
    with tempfile.TemporaryDirectory() as folder:
        constraints = Path(folder) / "constraints.txt"
        constraints.write_text(f"torch=={version('torch')}\n", encoding="utf-8")
        for command in commands(constraints):
            say(" ".join(command))
            _run(command)
    if os.environ.get(VARIABLE):
        return f"installed in {environment_folder()}, but {VARIABLE} names another interpreter"
    found = need_orion()
    return f"Orion {found.version} with Lattigo's bindings {found.lattigo} at {found.python}"


def _run(command: Sequence[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines()
        raise SearchError(
            f"Orion could not be installed: {lines[-1][:_LINE] if lines else 'no message'}"
        )
