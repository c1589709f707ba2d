import os
import time
from collections.abc import Iterator
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

import cloudpickle
import psutil
import pytest

from search.runners.slot import Slot
from search.testing.jobs import TinyWorker, jobs


@pytest.fixture
def slot(tmp_path: Path) -> Iterator[Slot]:
    made = Slot(cloudpickle.dumps(TinyWorker(tmp_path)), title="a title", threads=2)
    made.start()
    yield made
    made.kill()


def _next(slot: Slot, kind: str) -> tuple[Any, ...]:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        wait([slot.pipe], 0.2)
        for message in slot.messages():
            if message[0] == kind:
                return message
    raise AssertionError(f"no {kind} was said")


def _ready(slot: Slot) -> int:
    """Wait until the child is ready; its process id."""
    slot.where = _next(slot, "ready")[1]
    slot.ready = True
    return int(slot.where.rpartition(" ")[2])


def test_a_child_has_its_title_threads_and_own_process_group(slot: Slot) -> None:
    process = psutil.Process(_ready(slot))
    assert process.cmdline()[-1] == "a title"
    assert process.environ()["OMP_NUM_THREADS"] == "2"
    assert os.getpgid(process.pid) == process.pid
    assert 2**20 < slot.resident_bytes() < 2**32


def test_a_job_goes_in_and_an_outcome_comes_out(slot: Slot) -> None:
    _ready(slot)
    (job,) = jobs("complete")
    slot.give(job)
    assert slot.job == job
    outcome = _next(slot, "outcome")[1]
    assert (outcome.number, outcome.status, outcome.worker) == (0, "complete", slot.where)


def test_an_idle_child_quits_by_itself(slot: Slot) -> None:
    process = psutil.Process(_ready(slot))
    slot.ask_to_quit()
    process.wait(20)
    assert slot.kill() == "exit code 0"
    assert not slot.alive


def test_a_busy_child_is_killed(slot: Slot) -> None:
    process = psutil.Process(_ready(slot))
    slot.give(jobs("hang")[0])
    _next(slot, "event")
    slot.ask_to_quit()
    slot.close()
    assert not process.is_running()
    assert slot.resident_bytes() == 0


def test_what_the_child_started_ends_with_it(slot: Slot, tmp_path: Path) -> None:
    process = psutil.Process(_ready(slot))
    assert slot.kill().startswith("signal 9 SIGKILL")
    assert slot.kill() == ""  # nothing left to kill
    assert not process.is_running()


def test_a_slot_starts_again(slot: Slot) -> None:
    first = _ready(slot)
    slot.kill()
    slot.start()
    assert not slot.ready
    assert _ready(slot) != first
    assert slot.alive
