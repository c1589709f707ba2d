"""``search dashboard`` serves the run's storage until Ctrl-C."""

from __future__ import annotations

import json
import os
import signal
import socket
import urllib.request
import uuid
from typing import Any

import pytest


@pytest.mark.slow
@pytest.mark.parametrize(
    "storage",
    ["journal", "sqlite:///study.db", pytest.param("postgresql", marks=pytest.mark.postgres)],
)
def test_it_serves_the_study_and_ends_on_ctrl_c(shell: Any, storage: str) -> None:
    # One database serves many runs of this test, so the study's name must be new.
    name = f"tiny-{uuid.uuid4().hex[:8]}"
    given = []
    if storage == "postgresql":
        storage = os.environ.get("CIPHER_SEARCH_TEST_POSTGRES", "")
        if not storage:
            pytest.skip("CIPHER_SEARCH_TEST_POSTGRES is not set: no PostgreSQL server to test with")
        given = ["--storage", storage]  # its password is not kept in the run directory
    words = ["--set", f"study.storage={storage}", "--set", f"study.name={name}"]
    assert shell.run("run", shell.config, "--plugin", shell.plugin, "-q", *words).exit_code == 0
    process = shell.start("dashboard", f"runs/{name}", "--port", "0", *given)
    try:
        line = process.stdout.readline()
        url = next(word for word in line.split() if word.startswith("http://127.0.0.1:"))
        base = url.removesuffix("/dashboard/")
        with urllib.request.urlopen(f"{base}/api/studies", timeout=30) as reply:
            studies = json.load(reply)["study_summaries"]
        assert name in [s["study_name"] for s in studies]
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
