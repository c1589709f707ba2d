"""A chat as a person has it: a real run in a pseudo-terminal, and its record in the docs.

``CIPHER_SEARCH_RECORD=1 pytest -m slow tests/docs/test_chat_session.py`` writes
docs/chat_session.md anew.
"""

from __future__ import annotations

import contextlib
import os
import pty
import re
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CONFIG = "configs/smoke/ckks_digits.yaml"
PAGE = ROOT / "docs" / "chat_session.md"
CTRL_C = "\x03"

# What is waited for on the screen, and what is typed then.
SCRIPT = (
    ("\n> ", "under 2 s at 20 bits, 16 GiB"),
    ("\nunderstand: ", CTRL_C),
    ("Stopped", ""),
    ("\n> ", "/run"),
    ("[n]o: ", "y"),
    ("Goal reached", ""),
    ("\n> ", "why this one?"),
    ("\n> ", "scale = 30"),
    ("\n> ", "why not log_n = 12?"),
    ("\n> ", "/undo"),
    ("\n> ", "/undo"),
    ("\n> ", "/take 1"),
    ("\n> ", "/front"),
    ("\n> ", "/budget"),
    ("\n> ", "/export"),
    ("\n> ", CTRL_C),
    ("/quit leaves the chat.", ""),
    ("\n> ", "/quit"),
    ("Until next time.", ""),
)


class Screen:
    """A process in a pseudo-terminal, and everything it shows."""

    def __init__(self, command: list[str], environ: dict[str, str]) -> None:
        self._main, inner = pty.openpty()
        self.process = subprocess.Popen(
            command, stdin=inner, stdout=inner, stderr=inner, env=environ, cwd=ROOT,
            start_new_session=True, preexec_fn=_own_terminal,
        )  # fmt: skip
        os.close(inner)
        self.text, self._from = "", 0

    def wait_for(self, text: str, seconds: float = 90.0) -> None:
        """Until ``text`` is shown after what was waited for before."""
        deadline = time.monotonic() + seconds
        while text not in self.text[self._from :]:
            assert time.monotonic() < deadline, f"no {text!r} in {self.text[self._from :]!r}"
            ready, _, _ = select.select([self._main], [], [], 1.0)
            if ready:
                try:
                    self.text += os.read(self._main, 65536).decode(errors="replace")
                except OSError:  # the other end is closed
                    assert text in self.text[self._from :], self.text[-2000:]
        self._from = self.text.index(text, self._from) + len(text)

    def type(self, line: str) -> None:
        """What a person types; Ctrl-C needs no return key."""
        os.write(self._main, (line if line == CTRL_C else f"{line}\n").encode())

    def close(self) -> None:
        """End of the session."""
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        self.process.wait()
        os.close(self._main)


def _own_terminal() -> None:
    """Make the pseudo-terminal the controlling one, so that Ctrl-C becomes a signal."""
    import fcntl
    import termios

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals are POSIX")
def test_a_session_in_a_terminal(tmp_path: Path) -> None:
    hidden = ("OPENAI", "CIPHER_SEARCH_MODEL")
    environ = {k: v for k, v in os.environ.items() if not k.startswith(hidden)}
    environ |= {"TERM": "dumb", "COLUMNS": "100", "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-m", "search", "chat", CONFIG, "--directory", str(tmp_path)]
    screen = Screen(command, environ)
    try:
        for awaited, typed in SCRIPT:
            screen.wait_for(awaited)
            if typed:
                screen.type(typed)
        assert screen.process.wait(30) == 0
    finally:
        screen.close()
    text = plain(screen.text, tmp_path)
    assert "Stopped. What was finished is kept; /run goes on." in text
    assert "latency_ckks" in text
    assert "is not legal" in text
    assert "Traceback" not in text
    if os.environ.get("CIPHER_SEARCH_RECORD"):
        PAGE.write_text(page(text), encoding="utf-8")


def test_the_page_holds_what_is_typed() -> None:
    """The record belongs to this script, line for line."""
    written = PAGE.read_text(encoding="utf-8")
    typed = [line for awaited, line in SCRIPT if awaited == "\n> " and line != CTRL_C]
    shown = re.findall(r"^> (\S.*)$", written, flags=re.MULTILINE)
    assert [line for line in shown if line != "^C"] == typed


def plain(text: str, folder: Path) -> str:
    """What a person reads: no control codes, no temporary folder."""
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text).replace("\r", "")
    return text.replace(str(folder), "runs")


def page(text: str) -> str:
    """The page around the record."""
    return (
        "# A chat, recorded\n\n"
        "Made by `CIPHER_SEARCH_RECORD=1 pytest -m slow tests/docs/test_chat_session.py`: a real "
        f"run of `search chat {CONFIG}`\nin a pseudo-terminal, without a language model. Lines "
        "after `> ` were typed, `^C` is Ctrl-C; keys were made and\nciphertexts multiplied. Times "
        "are those of a small machine with other work on it.\n\n"
        f"```text\n$ search chat {CONFIG}\n{text.rstrip()}\n```\n"
    )
