"""kill -9 of driver or worker at random moments: after a resume nothing finished is missing.

25 kills in all over journal, SQLite and PostgreSQL; each driver is a real process with two real
worker processes. A trial that was reported as stored before a kill must be there afterwards,
once, with the same values.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import psutil
import pytest

from search import Study
from search.api.domain import point_digest

TRIALS = 60

PLUGIN = '''
import time
from pydantic import BaseModel
from search import Measurement, Metric, register

@register("evaluator", "slow_square")
class SlowSquare:
    """x squared, after a while."""
    class Config(BaseModel):
        pass
    metrics = (Metric("square", "1", "min", "x squared"),)
    needs = frozenset({"data"})
    @classmethod
    def from_config(cls, config, workload):
        return cls()
    def evaluate(self, candidate, fidelity, ctx):
        (ctx.workdir / "x.txt").write_text(str(candidate.payload["x"]))
        time.sleep(0.03)
        return [Measurement("square", candidate.payload["x"] ** 2, "1", fidelity.name, "measured")]
'''

CONFIG = """
study: {{name: killed, directory: {folder}, storage: "{storage}", max_retries: 20}}
space:
  name: parameters
  params: {{x: {{real: [-1, 1]}}, m: {{vector: {{choice: [0, 1]}}, length: 30}}}}
objectives: [square]
ladder: [{{rung: full, evaluators: [slow_square]}}]
searcher: random
budget: {{trials: {trials}}}
runner: {{name: process, slots: 2}}
"""

DRIVER = """
import json, sys
from search import Study
log = open(sys.argv[3], "a", buffering=1)
study = Study.from_yaml(sys.argv[1], plugins=[sys.argv[2]])
study.run(callbacks=[lambda t: log.write(json.dumps([t.number, t.status, t.values]) + chr(10))])
"""


def start(folder: Path) -> subprocess.Popen[bytes]:
    arguments = [folder / "driver.py", folder / "config.yaml", folder / "plugin.py"]
    return subprocess.Popen([sys.executable, *map(str, arguments), str(folder / "log")])


def kill_something(driver: subprocess.Popen[bytes], rng: random.Random) -> None:
    """Wait for trials to flow, then kill the driver (two times in three) or a worker."""
    log = Path(str(driver.args[-1]))  # type: ignore[index]
    before = log.stat().st_size if log.exists() else 0
    deadline = time.monotonic() + 60
    while driver.poll() is None and time.monotonic() < deadline:
        if log.exists() and log.stat().st_size > before:
            break
        time.sleep(0.01)
    time.sleep(rng.uniform(0, 0.15))
    if driver.poll() is not None:
        return
    children = psutil.Process(driver.pid).children(recursive=True)
    if rng.random() < 1 / 3 and children:
        rng.choice(children).send_signal(signal.SIGKILL)
        time.sleep(rng.uniform(0, 0.1))
    driver.kill()
    driver.wait()


def database(storage: str, tmp_path: Path) -> str:
    if storage == "sqlite":
        return f"sqlite:///{tmp_path}/study.db"
    if storage == "postgresql":
        url = os.environ.get("CIPHER_SEARCH_TEST_POSTGRES")
        if not url:
            pytest.skip("CIPHER_SEARCH_TEST_POSTGRES is not set: no PostgreSQL server to test with")
        return url
    return "journal"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("storage", "kills"),
    [
        ("journal", 9),
        ("sqlite", 8),
        pytest.param("postgresql", 8, marks=pytest.mark.postgres),
    ],
)
def test_nothing_finished_is_lost(storage: str, kills: int, tmp_path: Path) -> None:
    (tmp_path / "plugin.py").write_text(PLUGIN)
    (tmp_path / "driver.py").write_text(DRIVER)
    text = CONFIG.format(folder=tmp_path, storage=database(storage, tmp_path), trials=TRIALS)
    # One database may serve several runs of this test, so the study's name must be new.
    text = text.replace("killed", f"killed-{uuid.uuid4().hex[:8]}")
    (tmp_path / "config.yaml").write_text(text)
    rng = random.Random(storage)
    done = 0
    for _ in range(kills):
        driver = start(tmp_path)
        kill_something(driver, rng)
        done += driver.returncode == -signal.SIGKILL
    final = start(tmp_path)
    assert final.wait(timeout=300) == 0

    study = Study.from_yaml(tmp_path / "config.yaml", plugins=[tmp_path / "plugin.py"])
    trials = study.trials()
    complete = [t for t in trials if t.status == "complete"]
    assert len(complete) == TRIALS
    assert all(t.status in ("complete", "crashed") for t in trials)
    assert [t.number for t in trials] == list(range(len(trials)))
    # No point is counted twice, and every stored result is what its point gives.
    assert len({point_digest(t.point) for t in complete}) == TRIALS
    for trial in complete:
        x = float(str(trial.point["x"]))
        assert trial.values == (x**2,)
        assert trial.artefacts["x.txt"].read_text() == str(x)
    # Whatever a driver said was stored before it was killed is still there.
    by_number = {t.number: t for t in trials}
    for line in (tmp_path / "log").read_text().splitlines():
        number, status, values = json.loads(line)
        assert by_number[number].status == status
        assert list(by_number[number].values or ()) == list(values or ())
    assert done >= kills - 2, "the study ended before enough kills; raise TRIALS"
