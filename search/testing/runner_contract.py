"""What any runner must do. Subclass, give a ``runner``, and let pytest collect the class.

Example::

    class TestMine(IsolatedRunnerContract):
        def runner(self, slots: int) -> Runner:
            return Mine(slots)
"""

from __future__ import annotations

from pathlib import Path

import pytest

from search.api.errors import PluginError
from search.api.protocols import Runner
from search.api.trial import Job
from search.testing.jobs import ListedJobs, TinyWorker, jobs


class RunnerContract:
    """For every runner."""

    def runner(self, slots: int) -> Runner:
        """A runner with so many slots; a runner that has but one may give that."""
        raise NotImplementedError("a contract test class must say which runner it tests")

    def test_slots_are_a_positive_number(self) -> None:
        """``slots`` is known before anything runs."""
        assert self.runner(1).slots >= 1

    def test_every_job_is_done_once(self, tmp_path: Path) -> None:
        """Ten jobs give ten outcomes, none twice; the last state of the source is empty."""
        source = ListedJobs(jobs(*["complete"] * 10))
        self.runner(2).drain(source, TinyWorker(tmp_path))
        assert sorted(outcome.number for outcome in source.outcomes) == list(range(10))
        assert {outcome.status for outcome in source.outcomes} == {"complete"}
        for outcome in source.outcomes:
            assert outcome.measurements[0].value == outcome.number
            assert outcome.worker
            assert outcome.seconds >= 0

    def test_an_empty_source_is_no_error(self, tmp_path: Path) -> None:
        """A study that is complete already drains at once."""
        source = ListedJobs([])
        self.runner(1).drain(source, TinyWorker(tmp_path))
        assert source.log == []

    def test_one_slot_alternates_strictly(self, tmp_path: Path) -> None:
        """With one slot, each outcome is reported before the next job is asked for."""
        source = ListedJobs(jobs("complete", "raise", "complete", "complete"))
        self.runner(1).drain(source, TinyWorker(tmp_path))
        assert source.log == [(what, n) for n in range(4) for what in ("next", "report")]

    def test_a_job_that_waits_for_another_is_asked_for_again(self, tmp_path: Path) -> None:
        """``next() is None`` while a job is in flight is not the end."""
        source = _Sequential(jobs("complete", "complete", "complete"))
        self.runner(2).drain(source, TinyWorker(tmp_path))
        assert source.log == [(what, n) for n in range(3) for what in ("next", "report")]

    def test_the_worker_is_built_once_per_process(self, tmp_path: Path) -> None:
        """Building is expensive, so it is not done per job."""
        source = ListedJobs(jobs(*["complete"] * 6))
        self.runner(1).drain(source, TinyWorker(tmp_path))
        assert [path.read_text() for path in tmp_path.glob("built-*")] == ["x"]

    def test_an_exception_fails_its_job_only(self, tmp_path: Path) -> None:
        """What escapes the worker's function is told with its traceback."""
        source = ListedJobs(jobs("complete", "raise", "complete"))
        self.runner(1).drain(source, TinyWorker(tmp_path))
        assert [source.by_number()[n].status for n in range(3)] == [
            "complete",
            "failed",
            "complete",
        ]
        error = source.by_number()[1].error
        assert "Traceback" in error
        assert "ZeroDivisionError: on purpose" in error

    def test_sys_exit_crashes_its_job_only(self, tmp_path: Path) -> None:
        """A plugin that calls ``sys.exit`` ends neither study nor worker."""
        source = ListedJobs(jobs("exit", "complete"))
        self.runner(1).drain(source, TinyWorker(tmp_path))
        assert source.by_number()[0].status == "crashed"
        assert "sys.exit(3)" in source.by_number()[0].error
        assert source.by_number()[1].status == "complete"

    def test_a_worker_that_cannot_be_built_is_an_error(self, tmp_path: Path) -> None:
        """No job is taken, and the message says why."""
        source = ListedJobs(jobs("complete"))
        with pytest.raises(PluginError, match="no such plugin: foo"):
            self.runner(1).drain(source, TinyWorker(tmp_path, build_error="no such plugin: foo"))
        assert source.outcomes == []

    def test_events_arrive_in_order(self, tmp_path: Path) -> None:
        """``started`` once and first, rungs as they come, the last step never lost."""
        source = ListedJobs(jobs("steps", "complete"))
        self.runner(1).drain(source, TinyWorker(tmp_path))
        kinds = source.kinds(0)
        assert kinds[:2] == ["started", "rung"]
        assert kinds.count("started") == 1
        assert kinds.count("rung") == 2
        steps = [d["step"] for n, kind, d in source.events if n == 0 and kind == "step"]
        assert steps == sorted(set(steps))
        assert steps[-1] == 199
        assert source.kinds(1) == ["started", "rung"]
        started = next(data for _, kind, data in source.events if kind == "started")
        assert started["worker"]

    def test_artefacts_are_readable_when_reported(self, tmp_path: Path) -> None:
        """The driver can read each file while ``report`` runs."""
        source = ListedJobs(jobs("file", "complete"))
        self.runner(1).drain(source, TinyWorker(tmp_path))
        assert source.artefacts[0] == {"weights": bytes(range(256)) * 4096}
        assert source.artefacts[1] == {}

    def test_a_stop_starts_nothing_new(self, tmp_path: Path) -> None:
        """After ``should_stop`` no job is asked for."""
        source = ListedJobs(jobs(*["complete"] * 5), stop_after=2)
        self.runner(1).drain(source, TinyWorker(tmp_path))
        assert source.log == [(what, n) for n in range(2) for what in ("next", "report")]

    def test_a_stop_reaches_a_running_job(self, tmp_path: Path) -> None:
        """A job in flight is asked to stop, and what it then says counts."""
        source = ListedJobs(jobs("wait", "complete"), stop_at="started")
        self.runner(1).drain(source, TinyWorker(tmp_path))
        (outcome,) = source.outcomes
        assert (outcome.status, outcome.notes["asked"]) == ("complete", True)


class IsolatedRunnerContract(RunnerContract):
    """For runners whose jobs run outside of the driver's process."""

    def test_a_dead_worker_crashes_its_job_only(self, tmp_path: Path) -> None:
        """Kill -9 of a worker: the job is ``crashed``, its slot goes on working."""
        source = ListedJobs(jobs("die", "complete", "complete"))
        self.runner(1).drain(source, TinyWorker(tmp_path))
        statuses = [source.by_number()[n].status for n in range(3)]
        assert statuses == ["crashed", "complete", "complete"]
        assert "died" in source.by_number()[0].error

    def test_a_crashed_job_may_come_again(self, tmp_path: Path) -> None:
        """The study retries; the runner must take the same number a second time."""
        source = ListedJobs(jobs("die_once", "complete"), retry=True)
        self.runner(2).drain(source, TinyWorker(tmp_path))
        statuses = [o.status for o in source.outcomes if o.number == 0]
        assert statuses == ["crashed", "complete"]

    def test_a_job_over_its_time_is_killed(self, tmp_path: Path) -> None:
        """A deaf job ends at its limit, and the next one runs."""
        slow = Job(0, {"do": "hang"}, seed=0, timeout_s=1.5)
        source = ListedJobs([slow, Job(1, {"do": "complete"}, seed=1)])
        self.runner(1).drain(source, TinyWorker(tmp_path))
        assert source.by_number()[0].status == "crashed"
        assert "time limit of 1.5 s" in source.by_number()[0].error
        assert source.by_number()[1].status == "complete"

    def test_an_outcome_that_cannot_travel_fails(self, tmp_path: Path) -> None:
        """An outcome that cannot be pickled is told as such."""
        source = ListedJobs(jobs("unpicklable", "complete"))
        self.runner(1).drain(source, TinyWorker(tmp_path))
        assert source.by_number()[0].status == "failed"
        assert "cannot be sent" in source.by_number()[0].error
        assert source.by_number()[1].status == "complete"


class _Sequential(ListedJobs):
    """Hands out a job only when none is in flight."""

    def next(self) -> Job | None:
        return None if self._given else super().next()
