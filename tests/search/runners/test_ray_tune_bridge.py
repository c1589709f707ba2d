import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from search.api.errors import PluginError
from search.api.trial import Job
from search.runners.ray_cluster import RayConfig, connected
from search.runners.ray_mailbox import Letterbox
from search.runners.ray_metrics import Meter
from search.testing.jobs import ListedJobs, jobs

pytestmark = pytest.mark.ray


@pytest.fixture
def make(two_nodes: Any, tmp_path: Path) -> Iterator[Any]:
    from search.runners.ray_tune_bridge import Bridge

    made: list[Letterbox] = []

    def bridge(source: ListedJobs) -> Bridge:
        with connected(RayConfig(), source, []) as cluster:
            letters = Letterbox(cluster, "s")
            made.append(letters)
            return Bridge(source, letters, Meter("s", source), slots=2, folder=tmp_path)

    yield bridge
    for letters in made:
        letters.close()


def test_jobs_are_pulled_as_slots_are_free(make: Any) -> None:
    from ray.exceptions import ActorDiedError
    from ray.tune.search import Searcher

    source = ListedJobs(jobs("complete", "complete", "complete"))
    bridge = make(source)
    assert [bridge.suggest().number, bridge.suggest().number] == [0, 1]
    assert bridge.suggest() is None  # both slots are taken
    bridge.land(0, ActorDiedError())
    assert source.outcomes[0].status == "crashed"
    assert "died" in source.outcomes[0].error
    assert bridge.suggest().number == 2
    bridge.land(1, ActorDiedError())
    assert bridge.suggest() is None  # nothing new, but job 2 is under way
    bridge.land(2, ActorDiedError())
    assert bridge.suggest() == Searcher.FINISHED
    assert bridge.error is None


def test_an_error_that_is_no_death_ends_the_experiment(make: Any) -> None:
    from ray.tune.search import Searcher

    source = ListedJobs(jobs("complete", "complete"))
    bridge = make(source)
    bridge.suggest()
    bridge.land(0, ImportError("no module named search"))
    assert isinstance(bridge.error, PluginError)
    assert "a trial cannot run: no module named search" in str(bridge.error)
    assert source.outcomes == []
    assert bridge.suggest() == Searcher.FINISHED


def test_an_error_of_the_study_is_kept(make: Any) -> None:
    class Broken(ListedJobs):
        def next(self) -> Job | None:
            raise OSError("disk full")

    bridge = make(Broken([]))
    bridge.suggest()
    assert isinstance(bridge.error, OSError)


def test_tune_may_save_our_parts_and_finds_nothing_in_them(make: Any) -> None:
    from ray import tune
    from ray.tune.search import Searcher

    from search.runners.ray_tune_bridge import Puller, Pump

    bridge = make(ListedJobs(jobs("complete")))
    assert type(pickle.loads(pickle.dumps(Puller(bridge)))) is Searcher
    assert type(pickle.loads(pickle.dumps(Pump(bridge)))) is tune.Callback


def test_a_tune_trial_is_configured_with_the_whole_job(make: Any) -> None:
    from search.runners.ray_tune_bridge import Puller

    (job,) = jobs("complete", timeout_s=3.0)
    config = Puller(make(ListedJobs([job]))).suggest("id")
    assert Job(**config) == job
