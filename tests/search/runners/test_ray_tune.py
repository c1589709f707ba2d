from pathlib import Path
from typing import Any

import pytest

from search.api.errors import ConfigError
from search.api.protocols import Runner
from search.registry import load
from search.runners.ray_tune import RayTune
from search.testing.jobs import ListedJobs, TinyWorker, jobs
from search.testing.runner_contract import IsolatedRunnerContract

pytestmark = pytest.mark.ray


@pytest.mark.slow  # seconds of start-up per experiment
@pytest.mark.usefixtures("two_nodes")
class TestRayTune(IsolatedRunnerContract):
    def runner(self, slots: int) -> Runner:
        return RayTune(slots=slots)


@pytest.mark.usefixtures("two_nodes")
def test_an_experiment_is_our_trials_and_the_callbacks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from ray import tune

    class Names(tune.Callback):
        seen: list[str] = []

        def on_trial_start(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
            self.seen.append(str(trial))

    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    logs = tmp_path / "logs"
    source = ListedJobs(jobs("steps", "raise", "die", "file"))
    runner = RayTune(
        slots=1, callbacks=("tensorboard", "json"), folder=str(logs), extra_callbacks=[Names()]
    )
    runner.drain(source, TinyWorker(tmp_path))
    assert source.log == [(what, n) for n in range(4) for what in ("next", "report")]
    statuses = [outcome.status for outcome in source.outcomes]
    assert statuses == ["complete", "failed", "crashed", "complete"]
    assert len(source.artefacts[3]["weights"]) == 256 * 4096
    assert Names.seen == ["tiny #0 steps", "tiny #1 raise", "tiny #2 die", "tiny #3 file"]
    assert len(list(logs.rglob("events.out.tfevents*"))) >= 3
    results = [path.read_text() for path in logs.rglob("result.json")]
    assert any('"only/seed": 0.0' in text and '"status": "complete"' in text for text in results)
    assert not (tmp_path / "home" / "ray_results").exists()
    # The raylet may tell of the worker that died, when it gets to it.
    lines = [line for line in capsys.readouterr().out.splitlines() if "(raylet)" not in line]
    assert lines == []


@pytest.mark.usefixtures("two_nodes")
def test_an_error_of_the_study_ends_the_experiment(tmp_path: Path) -> None:
    class Broken(ListedJobs):
        def report(self, outcome: Any) -> None:
            raise KeyboardInterrupt

    source = Broken(jobs("complete", "complete"))
    with pytest.raises(KeyboardInterrupt):
        RayTune(slots=1).drain(source, TinyWorker(tmp_path))
    assert source.log == [("next", 0)]


def test_callbacks_need_a_folder() -> None:
    with pytest.raises(ConfigError, match=r"runner\.folder"):
        RayTune(callbacks=("csv",))
    with pytest.raises(ValueError, match="tensorboard"):
        RayTune(callbacks=("tensorbord",), folder="x")


def test_it_is_made_from_yaml_options() -> None:
    plugin = load("runner", "ray_tune")
    assert plugin.from_config(plugin.Config(slots=3), None).slots == 3
