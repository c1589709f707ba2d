"""Displays: which is chosen, what they say, and that the live one stays quiet off its terminal."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import sys
import termios
from typing import Any

import pytest

from search.api.metric import Metric
from search.api.trial import Origin, Outcome, Trial
from search.cli.progress import (
    JsonDisplay,
    LiveDisplay,
    PlainDisplay,
    Quiet,
    choose_display,
    finished_line,
)
from search.cli.tally import PREPARING, Tally

ERROR = Metric("error", "%", "min", "")


def trial(status: Any = "complete", value: float | None = 5.0, **outcome: Any) -> Trial:
    values = None if value is None else (value,)
    outcome.setdefault("seconds", 2.0)
    return Trial(7, {"x": 1}, 0, Origin("sampler"), status, values, Outcome(7, status, **outcome))


def test_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(choose_display(quiet=True, as_json=True), JsonDisplay)
    assert isinstance(choose_display(quiet=True, as_json=False), Quiet)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: False)
    assert isinstance(choose_display(quiet=False, as_json=False), PlainDisplay)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert isinstance(choose_display(quiet=False, as_json=False), LiveDisplay)


@pytest.mark.parametrize(
    ("ended", "line"),
    [
        (trial(), "#7 complete: error 5 % (2.0 s)"),
        (trial(excess={"error <= 1 %": 4.0}), "#7 complete: error 5 %, breaks a constraint"),
        (trial("gated", None, excess={"a <= 1 s": 2.0}), "#7 gated: a <= 1 s not met"),
        (trial("failed", None, error="ValueError: no\nTraceback"), "#7 failed: ValueError: no (2"),
    ],
)
def test_the_line_of_a_finished_trial(ended: Trial, line: str) -> None:
    tally = Tally((ERROR,), 9)
    tally.finish(ended)
    assert line in finished_line(tally, ended)
    assert "\n" not in finished_line(tally, ended)


def test_preparation_is_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    display = PlainDisplay()
    with display.begin(Tally((ERROR,), 9)):
        for step in range(5):
            display.trial_event(PREPARING, "step", {"step": step})
    assert capsys.readouterr().out.count("preparing") == 1


def test_the_live_block_shows_what_runs() -> None:
    from rich.console import Console

    display, tally = LiveDisplay(), Tally((ERROR,), 9, "main")
    display._tally = tally
    display.trial_event(PREPARING, "step", {"step": 4, "loss": 0.5})
    console = Console(width=100, record=True, file=open(os.devnull, "w"))  # noqa: SIM115
    console.print(display.render())
    assert "preparing  " in console.export_text(clear=False)
    display.trial_started(trial("running", None))
    display.trial_event(7, "rung", {"rung": "search"})
    display.trial_event(7, "step", {"step": 3, "loss": 0.125})
    console.print(display.render())
    shown = console.export_text()
    assert "0/9 trials" in shown
    assert "#7  search  step 3 loss 0.125" in shown
    display.trial_finished(trial())
    console.print(display.render())
    assert "best: error 5 % (#7)" in console.export_text()
    console.file.close()


def test_on_a_terminal_the_block_is_drawn_and_the_summary_stays(shell: Any) -> None:
    pid, fd = pty.fork()
    if pid == 0:
        os.environ["TERM"] = "xterm-256color"
        words = ["-m", "search", "run", "tiny.yaml", "--plugin", "plug.py"]
        words += ["--set", "ladder[0].evaluators[0]={name: hills, sleep: 0.3}"]
        os.execv(sys.executable, [sys.executable, *words])
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 120, 0, 0))
    raw = b""
    while True:
        try:
            chunk = os.read(fd, 65_536)
        except OSError:
            break
        if not chunk:
            break
        raw += chunk
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert b"\x1b[" in raw
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", raw.decode())
    assert re.search(r"[1-3]/4 trials", shown)
    assert "Pareto front of tiny" in shown
    assert "report: " in shown
