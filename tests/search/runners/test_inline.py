from pathlib import Path

import pytest

from search.api.protocols import Runner
from search.registry import load
from search.runners.inline import Inline
from search.testing.jobs import ListedJobs, TinyWorker, jobs
from search.testing.runner_contract import RunnerContract


class TestInline(RunnerContract):
    def runner(self, slots: int) -> Runner:
        return Inline()


def test_there_is_one_slot() -> None:
    assert Inline().slots == 1


def test_past_its_limit_a_job_is_asked_to_stop(tmp_path: Path) -> None:
    source = ListedJobs(jobs("wait", "complete", timeout_s=0.1))
    Inline().drain(source, TinyWorker(tmp_path))
    assert source.by_number()[0].notes["asked"] is True
    assert source.by_number()[1].status == "complete"


def test_the_tighter_limit_counts(tmp_path: Path) -> None:
    source = ListedJobs(jobs("wait", timeout_s=100.0))
    Inline(timeout_s=0.1).drain(source, TinyWorker(tmp_path))
    assert source.by_number()[0].seconds < 50


def test_a_keyboard_interrupt_passes(tmp_path: Path) -> None:
    class Interrupted(ListedJobs):
        def event(self, number: int, kind: str, data: object) -> None:
            raise KeyboardInterrupt

    source = Interrupted(jobs("complete"))
    with pytest.raises(KeyboardInterrupt):
        Inline().drain(source, TinyWorker(tmp_path))


def test_it_is_made_from_yaml_options() -> None:
    plugin = load("runner", "inline")
    assert plugin is Inline
    assert isinstance(plugin.from_config(plugin.Config(timeout_s=3), None), Inline)
