import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from search.api.protocols import Execute, ProgressHook, Runner
from search.api.trial import Job, Outcome
from search.registry import load
from search.runners.inline import Inline
from search.runners.ray_tasks import RayTasks
from search.testing.jobs import ListedJobs, TinyWorker, jobs
from search.testing.runner_contract import IsolatedRunnerContract

pytestmark = pytest.mark.ray


@pytest.mark.usefixtures("two_nodes")
class TestRayTasks(IsolatedRunnerContract):
    def runner(self, slots: int) -> Runner:
        return RayTasks(slots=slots)


def _node(worker: str) -> str:
    return worker.split(" node ")[1].split()[0]


class Started(ListedJobs):
    """Calls ``then`` once so many jobs have started."""

    count = 2

    def then(self) -> None:
        raise NotImplementedError

    def event(self, number: int, kind: str, data: Mapping[str, Any]) -> None:
        super().event(number, kind, data)
        if kind == "started" and [k for _, k, _ in self.events].count("started") == self.count:
            self.then()


def test_a_lost_node_crashes_its_job_and_the_retry_runs_elsewhere(
    two_nodes: Any, tmp_path: Path
) -> None:
    class Losing(Started):
        def then(self) -> None:
            self.lost = two_nodes.edge.node_id
            two_nodes.lose_edge()

        def report(self, outcome: Outcome) -> None:
            super().report(outcome)
            (tmp_path / "go").touch()  # not before: a worker may outlive its node for a moment

    source = Losing(jobs("gate", "gate"), retry=True)
    runner = RayTasks()  # as many slots as the nodes have CPUs
    try:
        runner.drain(source, TinyWorker(tmp_path))
    finally:
        two_nodes.add_edge()
    assert runner.slots == 2
    places = {_node(data["worker"]) for _, kind, data in source.events if kind == "started"}
    assert len(places) == 2
    (crash,) = [o for o in source.outcomes if o.status == "crashed"]
    assert source.lost.startswith(_node(crash.worker))
    last = source.by_number()
    assert [last[n].status for n in (0, 1)] == ["complete", "complete"]
    assert not source.lost.startswith(_node(last[crash.number].worker))


def test_artefacts_of_another_node_are_shipped_and_removed_there(
    two_nodes: Any, tmp_path: Path
) -> None:
    seen: list[Path] = []

    class Looking(ListedJobs):
        def report(self, outcome: Outcome) -> None:
            super().report(outcome)
            seen.extend(outcome.artefacts.values())

    source = Looking(jobs("file"))
    RayTasks(slots=1, resources={"edge": 1}).drain(source, TinyWorker(tmp_path))
    assert two_nodes.edge.node_id.startswith(_node(source.outcomes[0].worker))
    assert len(source.artefacts[0]["weights"]) == 256 * 4096
    assert tmp_path not in seen[0].parents
    assert not (tmp_path / "work-0").exists()
    assert not seen[0].exists()  # taken by the study or not, nothing is left behind


@dataclass(frozen=True)
class Titled(TinyWorker):
    """Tells the title its process has, at the start and in a rung."""

    def build(self) -> Execute:
        def execute(job: Job, hook: ProgressHook, stop: Callable[[], bool]) -> Outcome:
            before = _title()
            hook("rung", {"rung": "finetune"})
            return Outcome(job.number, "complete", notes={"before": before, "in rung": _title()})

        return execute


def _title() -> str:
    return Path("/proc/self/cmdline").read_bytes().replace(b"\0", b" ").decode().strip()


@pytest.mark.usefixtures("two_nodes")
def test_tasks_have_the_names_people_look_for(tmp_path: Path) -> None:
    import cloudpickle

    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    source = ListedJobs(jobs("complete", "steps"))
    RayTasks(slots=1).drain(source, Titled(tmp_path, study_name="named"))
    first, second = (outcome.notes for outcome in source.outcomes)
    assert first == {
        "before": "ray::named #0 complete",
        "in rung": "ray::named #0 complete, rung finetune",
    }
    assert second["before"] == "ray::named #1 steps"


@pytest.mark.usefixtures("two_nodes")
def test_one_slot_gives_what_inline_gives(tmp_path: Path) -> None:
    def facts(runner: Runner, folder: Path) -> tuple[Any, ...]:
        folder.mkdir()
        source = ListedJobs(jobs("complete", "steps", "complete"))
        runner.drain(source, TinyWorker(folder))
        plain = [replace(o, notes={}, seconds=0.0, worker="") for o in source.outcomes]
        return source.log, plain

    assert facts(RayTasks(slots=1), tmp_path / "a") == facts(Inline(), tmp_path / "b")


@pytest.mark.usefixtures("two_nodes")
def test_a_deaf_job_is_killed_after_the_grace_period(tmp_path: Path) -> None:
    source = ListedJobs(jobs("hang", "complete"), stop_at="started")
    RayTasks(slots=1, grace_s=0.5).drain(source, TinyWorker(tmp_path))
    (outcome,) = source.outcomes
    assert outcome.status == "crashed"
    assert "did not end within 0.5 s" in outcome.error


@pytest.mark.usefixtures("two_nodes")
def test_workers_with_a_gpu_are_built_once_as_well(tmp_path: Path) -> None:
    source = ListedJobs(jobs("complete", "complete", "complete"))
    RayTasks(slots=1, num_gpus=0.5).drain(source, TinyWorker(tmp_path))
    assert [path.read_text() for path in tmp_path.glob("built-*")] == ["x"]


@pytest.mark.usefixtures("two_nodes")
def test_it_writes_event_files(tmp_path: Path) -> None:
    source = ListedJobs(jobs("steps"))
    RayTasks(slots=1, tensorboard=str(tmp_path / "tb")).drain(source, TinyWorker(tmp_path))
    assert {path.name for path in (tmp_path / "tb").iterdir()} == {"study", "trial-00000"}


@pytest.mark.usefixtures("two_nodes")
def test_a_joined_cluster_is_left_as_it_was(tmp_path: Path) -> None:
    import ray

    RayTasks(slots=1).drain(ListedJobs([]), TinyWorker(tmp_path))
    assert ray.is_initialized()


@pytest.mark.slow
def test_a_local_cluster_comes_and_goes(tmp_path: Path) -> None:
    script = tmp_path / "driver.py"
    script.write_text(
        textwrap.dedent(f"""
        import os
        from pathlib import Path
        from search.runners.ray_tasks import RayTasks
        from search.testing.jobs import ListedJobs, TinyWorker, jobs

        class Local(TinyWorker):
            def label(self, job):
                return "defined in the script"

        class Source(ListedJobs):
            said = []
            def announce(self, text):
                self.said.append(text)

        source = Source(jobs("complete", "complete"))
        runner = RayTasks(slots=3, num_gpus=0, dashboard=True)
        before = runner.slots
        runner.drain(source, Local(Path({str(tmp_path)!r})))
        import ray
        print(before, runner.slots, ray.is_initialized(), os.environ["RAY_USAGE_STATS_ENABLED"])
        print(*(o.status for o in source.outcomes))
        assert runner.announcements == source.said
        print(*source.said, sep=chr(10))
        """)
    )
    environment = {k: v for k, v in os.environ.items() if not k.startswith("RAY_AUTH")}
    environment["HOME"] = str(tmp_path)  # Ray leaves a token there
    done = subprocess.run(
        [sys.executable, str(script)], env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[:2] == ["3 3 False 0", "complete complete"]
    assert lines[2].startswith("Ray dashboard: http://127.0.0.1:")
    assert lines[3] == "The dashboard asks for a token; `ray get-auth-token` prints it"
    assert len(lines) == 4


def test_it_is_made_from_yaml_options() -> None:
    plugin = load("runner", "ray_tasks")
    runner = plugin.from_config(plugin.Config(slots=3, num_gpus=0.5, memory="1 GiB"), None)
    assert runner.slots == 3


def test_naming_it_does_not_load_ray() -> None:
    code = (
        "import sys, search.runners.ray_tasks, search.runners.ray_tune; print('ray' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
