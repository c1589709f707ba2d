import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from typing import Any

import cloudpickle
import pytest

from search.api.trial import Job
from search.testing.jobs import TinyWorker, jobs


class Started:
    """A child process and our end of its pipe, without the slot that usually has it."""

    def __init__(self, parent: int) -> None:
        ours, theirs = Pipe()
        code = "import sys; from search.runners.child import main; main(*map(int, sys.argv[1:]))"
        self.pipe: Connection[Any, Any] = ours
        self.process = subprocess.Popen(
            [sys.executable, "-c", code, str(theirs.fileno()), str(parent)],
            pass_fds=(theirs.fileno(),),
        )
        theirs.close()

    def send(self, message: object) -> None:
        self.pipe.send_bytes(cloudpickle.dumps(message))

    def hear(self) -> Any:
        assert self.pipe.poll(60)
        return cloudpickle.loads(self.pipe.recv_bytes())


@pytest.fixture
def child(tmp_path: Path) -> Iterator[Started]:
    made = Started(os.getpid())
    yield made
    made.process.kill()
    made.process.wait()
    made.pipe.close()


def test_it_serves_until_it_is_told_to_quit(child: Started, tmp_path: Path) -> None:
    child.send(TinyWorker(tmp_path))
    assert child.hear()[0] == "ready"
    for job in jobs("complete", "raise"):
        child.send(("job", job))
        kinds = [child.hear()[2]]
        while (message := child.hear())[0] == "event":
            kinds.append(message[2])
        assert kinds[0] == "started"
        assert message[1].status == ("complete" if job.number == 0 else "failed")
    child.send(("quit",))
    assert child.process.wait(20) == 0


def test_it_says_why_it_cannot_be_built(child: Started, tmp_path: Path) -> None:
    child.send(TinyWorker(tmp_path, build_error="no such plugin"))
    assert child.hear() == ("broken", "no such plugin")
    assert child.process.wait(20) == 0


def test_it_ignores_ctrl_c_and_hears_stop(child: Started, tmp_path: Path) -> None:
    child.send(TinyWorker(tmp_path))
    child.hear()
    child.send(("job", Job(0, {"do": "wait"}, 0)))
    assert child.hear()[2] == "started"
    child.process.send_signal(signal.SIGINT)
    time.sleep(0.3)
    assert child.process.poll() is None
    child.send(("stop",))
    assert child.hear()[1].notes["asked"] is True


def test_it_ends_when_the_pipe_does(child: Started, tmp_path: Path) -> None:
    child.send(TinyWorker(tmp_path))
    child.hear()
    child.send(("job", Job(0, {"do": "hang"}, 0)))
    child.hear()
    child.pipe.close()
    assert child.process.wait(20) == 1


def test_it_ends_when_its_parent_was_gone_already() -> None:
    orphan = Started(parent=1)
    assert orphan.process.wait(20) == 1
    orphan.pipe.close()


def test_steps_are_thinned_but_the_last_arrives(child: Started, tmp_path: Path) -> None:
    child.send(TinyWorker(tmp_path))
    child.hear()
    child.send(("job", Job(0, {"do": "steps"}, 0)))
    steps = []
    while (message := child.hear())[0] == "event":
        if message[2] == "step":
            steps.append(message[3]["step"])
    assert steps[-1] == 199
    assert len(steps) < 100
