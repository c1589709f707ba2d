import threading
from pathlib import Path

import pytest

from search.api.errors import PluginError
from search.api.trial import Job, Outcome
from search.testing.jobs import ListedJobs, TinyWorker, jobs


def test_jobs_are_numbered_and_seeded() -> None:
    first, second = jobs("wait", "die", timeout_s=3.0)
    assert first == Job(0, {"do": "wait"}, seed=0, timeout_s=3.0)
    assert (second.number, second.seed, second.point["do"]) == (1, 1, "die")


def test_a_source_refuses_what_was_not_given_or_was_reported() -> None:
    source = ListedJobs(jobs("complete"))
    with pytest.raises(KeyError):
        source.report(Outcome(0, "complete"))
    assert source.next() is not None
    source.report(Outcome(0, "complete"))
    with pytest.raises(KeyError):
        source.report(Outcome(0, "complete"))


def test_a_source_refuses_other_threads() -> None:
    source = ListedJobs(jobs("complete"))
    errors: list[Exception] = []

    def elsewhere() -> None:
        try:
            source.next()
        except RuntimeError as error:
            errors.append(error)

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert "one thread" in str(errors[0])


def test_a_crashed_job_is_given_again_once() -> None:
    source = ListedJobs(jobs("die"), retry=True)
    for _ in range(2):
        assert source.next() is not None
        source.report(Outcome(0, "crashed"))
    assert source.next() is None


def test_a_source_stops_when_it_was_told_to() -> None:
    source = ListedJobs(jobs("complete"), stop_after=1)
    assert not source.should_stop()
    source.next()
    source.report(Outcome(0, "complete"))
    assert source.should_stop()
    source = ListedJobs(jobs("complete"), stop_at="rung")
    source.event(0, "step", {})
    assert not source.should_stop()
    source.event(0, "rung", {})
    assert source.should_stop()
    assert source.kinds(0) == ["step", "rung"]


def test_a_worker_is_built_or_not(tmp_path: Path) -> None:
    worker = TinyWorker(tmp_path)
    execute = worker.build()
    (job,) = jobs("complete")
    outcome = execute(job, lambda kind, data: None, lambda: False)
    assert (outcome.status, outcome.measurements[0].value) == ("complete", 0.0)
    assert worker.label(job) == "tiny #0 complete"
    with pytest.raises(PluginError, match="broken"):
        TinyWorker(tmp_path, build_error="broken").build()
