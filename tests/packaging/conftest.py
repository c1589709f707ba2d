"""Building and installing distributions for real, without a network."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Pip = Callable[..., None]


@pytest.fixture(scope="session")
def pip() -> Pip:
    """Runs pip of this environment; build tools are those that are installed."""

    def run(*arguments: str) -> None:
        command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments]
        done = subprocess.run(
            [*command, "--quiet", "--no-deps", "--no-build-isolation", "--no-index"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr

    return run


@pytest.fixture(scope="session")
def copy_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Copies files and folders to a new place, so that a build leaves nothing in the tree."""

    def copy(*sources: Path) -> Path:
        target = tmp_path_factory.mktemp("source")
        skip = shutil.ignore_patterns("__pycache__", "*.egg-info", "build")
        for source in sources:
            if source.is_dir():
                shutil.copytree(source, target / source.name, ignore=skip)
            else:
                shutil.copy(source, target)
        return target

    return copy
