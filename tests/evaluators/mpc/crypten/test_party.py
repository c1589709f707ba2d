import json
import subprocess
import sys
from pathlib import Path

import pytest

from evaluators.mpc.crypten import party


@pytest.mark.crypten
def test_a_party_alone_leaves_when_nobody_holds_its_input(tmp_path: Path) -> None:
    job = {
        "threads": 1, "rendezvous": f"file://{tmp_path / 'meet'}", "interface": "lo",
        "network": None, "programs": [],
    }  # fmt: skip
    (tmp_path / party.JOB).write_text(json.dumps(job))
    command = [sys.executable, "-m", party.__name__, str(tmp_path), "0"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdin
        assert process.poll() is None
        process.stdin.close()
        assert process.wait(timeout=30) == party.ORPHANED
