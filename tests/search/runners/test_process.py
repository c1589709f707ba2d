import logging
import os
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from search.api.errors import ConfigError, PluginError
from search.api.protocols import Execute, Runner
from search.api.trial import Job
from search.registry import load
from search.runners.process import Process
from search.testing.jobs import ListedJobs, TinyWorker, jobs
from search.testing.runner_contract import IsolatedRunnerContract


class TestProcess(IsolatedRunnerContract):
    def runner(self, slots: int) -> Runner:
        return Process(slots)


def test_two_slots_are_two_processes_with_their_threads(tmp_path: Path) -> None:
    class BothAtOnce(ListedJobs):
        def should_stop(self) -> bool:
            return [kind for _, kind, _ in self.events].count("started") == 2

    source = BothAtOnce(jobs("wait", "wait", "wait"))
    Process(2, threads=3).drain(source, TinyWorker(tmp_path))
    notes = [outcome.notes for outcome in source.outcomes]
    assert len({os.getpid(), *(n["pid"] for n in notes)}) == 3
    assert [n["threads"] for n in notes] == ["3", "3"]


def test_the_signal_is_told_in_words(tmp_path: Path) -> None:
    source = ListedJobs(jobs("die"))
    Process(1).drain(source, TinyWorker(tmp_path))
    error = source.by_number()[0].error
    assert "signal 9 SIGKILL" in error
    assert "memory" in error


def test_the_runner_may_set_the_time_limit(tmp_path: Path) -> None:
    source = ListedJobs(jobs("hang"))
    Process(1, timeout_s=0.5).drain(source, TinyWorker(tmp_path))
    assert source.by_number()[0].error == "time limit of 0.5 s"
    assert source.by_number()[0].worker


def test_a_job_that_eats_memory_is_killed(tmp_path: Path) -> None:
    source = ListedJobs(jobs("grow", "complete"))
    Process(1, memory_limit="400 MiB").drain(source, TinyWorker(tmp_path))
    assert source.by_number()[0].status == "crashed"
    assert "memory limit of 400 MiB" in source.by_number()[0].error
    assert source.by_number()[1].status == "complete"


@pytest.mark.parametrize("text", ["2", "2 parsecs", "GiB", "-1 GiB", "0 GB", "5 ms", "inf GB"])
def test_a_memory_limit_that_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"runner\.memory_limit: cannot read .* '2 GiB'"):
        Process(memory_limit=text)


def test_a_deaf_job_is_killed_after_the_grace_period(tmp_path: Path) -> None:
    source = ListedJobs(jobs("hang", "complete"), stop_at="started")
    Process(1, grace_s=0.3).drain(source, TinyWorker(tmp_path))
    (outcome,) = source.outcomes
    assert outcome.status == "crashed"
    assert "did not end within 0.3 s" in outcome.error


@dataclass(frozen=True)
class Stillborn:
    """Kills its process while it is built."""

    folder: Path
    study_name: str = "stillborn"

    def build(self) -> Execute:
        with (self.folder / "births").open("a") as file:
            file.write("x")
        os._exit(7)

    def label(self, job: Job) -> str:
        return ""


def _by_value(worker: object) -> object:
    """Make cloudpickle carry classes of this module to where it cannot be imported."""
    import cloudpickle

    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    return worker


def test_children_that_die_at_birth_do_not_loop_for_ever(tmp_path: Path) -> None:
    with pytest.raises(PluginError, match=r"no worker process could be started: .*exit code 7"):
        Process(1).drain(ListedJobs(jobs("complete")), _by_value(Stillborn(tmp_path)))  # type: ignore[arg-type]
    assert (tmp_path / "births").read_text() == "xxx"


@dataclass(frozen=True)
class SecondBreaks(TinyWorker):
    """Can be built in one process only."""

    def build(self) -> Execute:
        try:
            (self.folder / "first").touch(exist_ok=False)
        except FileExistsError:
            raise RuntimeError("only one at a time") from None
        return super().build()


def test_a_slot_that_cannot_start_is_given_up_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class UntilWarned(ListedJobs):
        def should_stop(self) -> bool:
            return bool(caplog.records)

    source = UntilWarned(jobs("wait"))
    with caplog.at_level(logging.WARNING):
        Process(2).drain(source, _by_value(SecondBreaks(tmp_path)))  # type: ignore[arg-type]
    assert source.outcomes[0].notes["asked"]
    (record,) = caplog.records
    assert "1 left" in record.getMessage()
    assert "only one at a time" in record.getMessage()


def _driver(folder: Path, deed: str) -> subprocess.Popen[bytes]:
    """A driver in a script of its own, without a main guard."""
    script = folder / "driver.py"
    script.write_text(
        textwrap.dedent(f"""
        from pathlib import Path
        from search.runners.process import Process
        from search.testing.jobs import ListedJobs, TinyWorker, jobs

        class Local(TinyWorker):
            def label(self, job):
                return "defined in the script"

        source = ListedJobs(jobs("{deed}", "complete"))
        Process(1).drain(source, Local(Path({str(folder)!r})))
        Path({str(folder / "done")!r}).write_text(" ".join(o.status for o in source.outcomes))
        """)
    )
    return subprocess.Popen([sys.executable, str(script)])


def _child_of(folder: Path) -> int:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        for path in folder.glob("built-*"):
            return int(path.name.removeprefix("built-"))
        time.sleep(0.05)
    raise AssertionError("no child was built")


def _gone(pid: int) -> bool:
    end = time.monotonic() + 20
    while time.monotonic() < end:
        status = Path(f"/proc/{pid}/status")
        try:
            if "State:\tZ" in status.read_text():
                return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        time.sleep(0.05)
    return False


def test_a_script_needs_no_main_guard_and_may_define_its_worker(tmp_path: Path) -> None:
    assert _driver(tmp_path, "complete").wait(60) == 0
    assert (tmp_path / "done").read_text() == "complete complete"


def test_children_end_when_the_driver_is_killed(tmp_path: Path) -> None:
    driver = _driver(tmp_path, "hang")
    child = _child_of(tmp_path)
    driver.kill()
    driver.wait()
    assert _gone(child)


def test_a_second_ctrl_c_ends_driver_and_children(tmp_path: Path) -> None:
    driver = _driver(tmp_path, "hang")
    child = _child_of(tmp_path)
    driver.send_signal(signal.SIGINT)  # no study handles it here, so it is a KeyboardInterrupt
    assert driver.wait(30) != 0
    assert _gone(child)
    assert not (tmp_path / "done").exists()


def test_it_is_made_from_yaml_options() -> None:
    plugin = load("runner", "process")
    runner = plugin.from_config(plugin.Config(slots=3, memory_limit="1 GiB"), None)
    assert (runner.slots, runner.memory_bytes) == (3, 2**30)
    with pytest.raises(ValueError, match="greater than or equal to 1"):
        plugin.Config(slots=0)
