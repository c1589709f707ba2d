"""The child is started by an interpreter that has nothing of ours but this file's folder."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from evaluators.fhe.child_process import FAILED, FAILURE
from evaluators.fhe.orion import child


def start(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-I", child.__file__, str(folder)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def test_without_a_job_it_says_what_is_missing(tmp_path: Path) -> None:
    ended = start(tmp_path)
    assert ended.returncode == FAILED, ended.stderr
    told = json.loads((tmp_path / FAILURE).read_text())
    assert told["kind"] == "crash"
    assert "job.json" in told["detail"]


def test_without_orion_it_is_no_panic(tmp_path: Path) -> None:
    pytest.importorskip("tenseal")
    job = {
        "seconds": 60, "memory_mb": 4000, "layers": [], "input_shape": [1], "params": {},
        "config": {}, "outputs": 1, "schedule": [], "compile_only": True,
    }  # fmt: skip
    (tmp_path / child.JOB).write_text(json.dumps(job))
    np.save(tmp_path / child.INPUTS, np.zeros((1, 1)))
    ended = start(tmp_path)
    assert ended.returncode == FAILED, ended.stderr
    assert "Error" in json.loads((tmp_path / FAILURE).read_text())["detail"]
