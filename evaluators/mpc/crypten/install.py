"""Install CrypTen beside this project so that it can be imported, with uv or with pip.

What CrypTen needs is the extra ``2pc``; CrypTen itself comes without its declared requirements, one
of which (``sklearn``) cannot be installed any more.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from evaluators.mpc.crypten.shim import VERSION
from search import registry
from search.api.errors import SearchError

EXTRA = "2pc"


def commands() -> list[list[str]]:
    """The two commands, with the installer that there is.

    Raises:
        SearchError: there is neither uv nor pip.
    """
    installer = _installer()
    return [[*installer, *requirements()], [*installer, "--no-deps", f"crypten=={VERSION}"]]


def requirements() -> list[str]:
    """What the extra ``2pc`` asks for, as the project's metadata has it."""
    found = importlib.metadata.requires(registry.DISTRIBUTION) or []
    wanted = [text for text in found if text.partition("extra ==")[2].strip(" \"'") == EXTRA]
    return [text.partition(";")[0].strip() for text in wanted]


def install(say: Callable[[str], None]) -> str:
    """Install CrypTen and import it in a new process.

    Args:
        say: told each command before it runs.

    Returns:
        one line about what is there now.

    Raises:
        SearchError: a command failed, or CrypTen cannot be imported.
    """
    for command in commands():
        say(" ".join(command))
        _run(command, "could not be installed")
    importlib.invalidate_caches()
    check = "from evaluators.mpc.crypten.shim import import_crypten; " \
            "print(import_crypten().__version__)"  # fmt: skip
    version = _run([sys.executable, "-c", check], "was installed, but cannot be imported")
    return f"CrypTen {version.strip()} can be imported"


def _installer() -> list[str]:
    beside = Path(sys.executable).with_name("uv")
    uv = str(beside) if beside.exists() else shutil.which("uv")
    if importlib.util.find_spec("pip"):
        return [sys.executable, "-m", "pip", "install", "-q"]
    if uv:
        return [uv, "pip", "install", "-q", "--python", sys.executable]
    raise SearchError("CrypTen: this environment has neither pip nor uv to install it with")


def _run(command: Sequence[str], failing: str) -> str:
    path = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    environment = os.environ | path if command[1:2] == ["-c"] else None
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines()
        raise SearchError(f"CrypTen {failing}: {lines[-1] if lines else 'no message'}")
    return done.stdout
