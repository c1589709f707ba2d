"""``search dashboard`` serves the run's storage until Ctrl-C."""

from __future__ import annotations

import json
import signal
import socket
import urllib.request
from typing import Any

import pytest


@pytest.mark.parametrize("storage", ["journal", "sqlite:///study.db"])
def test_it_serves_the_study_and_ends_on_ctrl_c(shell: Any, storage: str) -> None:
    words = ["--set", f"study.storage={storage}"]
    assert shell.run("run", shell.config, "--plugin", shell.plugin, "-q", *words).exit_code == 0
    process = shell.start("dashboard", "runs/tiny", "--port", "0")
    try:
        line = process.stdout.readline()
        url = next(word for word in line.split() if word.startswith("http://127.0.0.1:"))
        base = url.removesuffix("/dashboard/")
        with urllib.request.urlopen(f"{base}/api/studies", timeout=30) as reply:
            studies = json.load(reply)["study_summaries"]
        assert [s["study_name"] for s in studies] == ["tiny"]
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 0, err
    assert "dashboard ended" in out
    assert "Traceback" not in err


def test_a_port_in_use(shell: Any) -> None:
    shell.run("run", shell.config, "--plugin", shell.plugin, "-q")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        result = shell.run("dashboard", "runs/tiny", "--port", str(port))
    assert result.exit_code == 1
    assert f"cannot listen on 127.0.0.1:{port}" in result.stderr


def test_no_run(shell: Any) -> None:
    result = shell.run("dashboard", "runs/none")
    assert result.exit_code == 1
    assert "not a run directory" in result.stderr
