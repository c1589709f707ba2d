"""The process that computes starts without torch and tells what it does."""

import subprocess
import sys
from pathlib import Path
from typing import Any

from evaluators.fhe.seal import child, run


def test_it_loads_no_torch() -> None:
    code = (
        "import sys, evaluators.fhe.seal.child\n"
        "sys.exit(any(m in sys.modules for m in ('torch', 'scipy', 'optuna', 'pydantic')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_its_files_are_those_that_the_parent_writes() -> None:
    assert (child.JOB, child.INPUTS, child.REPORT) == (run._JOB, run._INPUTS, run._REPORT)


def test_without_a_job_it_says_so(tmp_path: Path) -> None:
    done = subprocess.run([*run.CHILD, str(tmp_path)], check=False, capture_output=True)
    assert done.returncode == child.FAILED
    assert "job.json" in (tmp_path / "failure.json").read_text()


def test_it_tells_its_stages(hand: Any, tmp_path: Path) -> None:
    run.run_encrypted(
        hand.packed, hand.params, hand.inputs[:1], levels=hand.levels, keep=tmp_path / "kept"
    )
    stages = (tmp_path / "kept" / "stages.txt").read_text().split()
    assert stages == ["encode_weights", "keys", "encrypt", "fc0", "act0", "fc1", "decrypt"]
