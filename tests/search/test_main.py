"""``python -m search``."""

from __future__ import annotations

import subprocess
import sys


def test_it_is_the_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "search", "--help"], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("Usage: search ")


def test_its_exit_code_comes_through() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "search", "check", "no_such_file.yaml"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "no_such_file.yaml" in done.stderr
