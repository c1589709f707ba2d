"""The contract must catch broken runners, or it is worth nothing."""

from collections.abc import Callable
from pathlib import Path

import pytest

from search.api.protocols import JobSource, Runner, WorkerSpec
from search.api.trial import Outcome
from search.runners.execution import run_job
from search.testing.runner_contract import RunnerContract


class Faulty:
    """An inline runner with one fault."""

    slots = 1

    def __init__(self, fault: str) -> None:
        self.fault = fault

    def drain(self, source: JobSource, worker: WorkerSpec) -> None:
        waiting: list[Outcome] = []
        execute = worker.build()
        while self.fault == "deaf" or not source.should_stop():
            job = source.next()
            if job is None:
                break
            number = job.number
            if self.fault == "rebuilds":
                execute = worker.build()
            hook: Callable[[str, object], None] = lambda kind, data, n=number: (  # noqa: E731
                None if self.fault == "silent" else source.event(n, kind, data)  # type: ignore[arg-type]
            )
            if self.fault == "fragile":
                outcome = execute(job, hook, source.should_stop)
            else:
                outcome = run_job(execute, job, hook, source.should_stop)
            for path in outcome.artefacts.values() if self.fault == "loses files" else ():
                path.unlink()
            waiting.append(outcome)
            if self.fault != "late":
                source.report(waiting.pop())
            if self.fault == "twice":
                source.report(outcome)
        for outcome in waiting:
            source.report(outcome)


@pytest.mark.parametrize(
    ("fault", "test"),
    [
        ("twice", "test_every_job_is_done_once"),
        ("late", "test_one_slot_alternates_strictly"),
        ("late", "test_a_job_that_waits_for_another_is_asked_for_again"),
        ("rebuilds", "test_the_worker_is_built_once_per_process"),
        ("fragile", "test_an_exception_fails_its_job_only"),
        ("silent", "test_events_arrive_in_order"),
        ("loses files", "test_artefacts_are_readable_when_reported"),
        ("deaf", "test_a_stop_starts_nothing_new"),
    ],
)
def test_each_fault_is_caught(fault: str, test: str, tmp_path: Path) -> None:
    class Contract(RunnerContract):
        def runner(self, slots: int) -> Runner:
            return Faulty(fault)

    with pytest.raises((AssertionError, KeyError, ZeroDivisionError, FileNotFoundError)):
        getattr(Contract(), test)(tmp_path)


def test_a_class_without_a_runner_is_told(tmp_path: Path) -> None:
    with pytest.raises(NotImplementedError, match="which runner"):
        RunnerContract().test_every_job_is_done_once(tmp_path)
