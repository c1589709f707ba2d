"""``search chat`` as a process: through a pipe, with a real study."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from search.cli.chat import Lines

ROOT = Path(__file__).parents[3]
CONFIG = ROOT / "configs" / "smoke" / "ckks_digits.yaml"


def chat(tmp_path: Path, *lines: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """A chat through a pipe."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("OPENAI", "CIPHER_SEARCH_M"))}
    command = [sys.executable, "-m", "search", "chat", str(CONFIG), "--directory", str(tmp_path)]
    return subprocess.run(
        command, input="".join(f"{line}\n" for line in lines), capture_output=True, text=True,
        env={**clean, **environ}, cwd=tmp_path, check=False, timeout=300,
    )  # fmt: skip


@pytest.mark.slow
def test_a_goal_through_a_pipe_and_taken_up_again(tmp_path: Path) -> None:
    done = chat(tmp_path, "under 2 s at 12 bits", "y", "/why", "/try log_n=12 scale=50", "/quit")
    assert done.returncode == 0, done.stderr
    assert "> under 2 s at 12 bits" in done.stdout
    assert "[n]o: y" in done.stdout
    assert "Goal reached" in done.stdout
    assert "so the expert answers. To talk to a model, set CIPHER_SEARCH_MODEL" in done.stdout
    again = chat(tmp_path, "/front")
    assert "We have talked before" in again.stdout
    assert "meets the goal" in again.stdout


def test_what_cannot_work_is_said_before_anything_else(tmp_path: Path) -> None:
    done = chat(tmp_path, "/quit", CIPHER_SEARCH_MODEL="m")
    assert done.returncode == 2
    assert "neither OPENAI_API_KEY nor OPENAI_BASE_URL" in done.stderr
    assert done.stdout == ""


def test_answers_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    lines = Lines(io.StringIO("y\n/front\n"), terminal=False)
    assert lines.answer("Run? ").strip() == "y"
    assert lines.answer("Run? ") == "n"
    assert lines.read("> ") == "/front\n"
    assert lines.read("> ") is None
    assert lines.answer("Run? ") == "n"
    assert "Run? n (no answer in the input)" in capsys.readouterr().out
