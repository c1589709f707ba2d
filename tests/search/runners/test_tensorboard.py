import sys
from pathlib import Path

import pytest

from search.api.errors import MissingExtra
from search.runners.inline import Inline
from search.runners.process import Process
from search.runners.tensorboard import watched
from search.testing.jobs import ListedJobs, TinyWorker, jobs


def _scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Read event files back with the protobuf schema, record by record."""
    from tensorboardX.proto.event_pb2 import Event

    found: dict[str, list[tuple[int, float]]] = {}
    for path in folder.glob("events*"):
        data, at = path.read_bytes(), 0
        while at < len(data):
            length = int.from_bytes(data[at : at + 8], "little")
            event = Event.FromString(data[at + 12 : at + 12 + length])
            at += 12 + length + 4
            for value in event.summary.value:
                if value.HasField("simple_value"):
                    found.setdefault(value.tag, []).append((event.step, value.simple_value))
    return found


def test_each_trial_has_its_own_file(tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    source = ListedJobs(jobs("steps", "complete"))
    Inline(tensorboard=str(logs)).drain(source, TinyWorker(tmp_path))
    first = _scalars(logs / "trial-00000")
    assert first["loss"] == [(n, pytest.approx(1 / (n + 1))) for n in range(200)]
    assert first["only/seed"] == [(0, 0.0)]
    assert _scalars(logs / "trial-00001")["only/seed"] == [(0, 1.0)]
    assert _scalars(logs / "study")["only/seed"] == [(0, 0.0), (1, 1.0)]
    assert len(source.outcomes) == 2


def test_other_runners_write_the_same(tmp_path: Path) -> None:
    source = ListedJobs(jobs("raise", "complete"))
    Process(1, tensorboard=str(tmp_path / "logs")).drain(source, TinyWorker(tmp_path))
    assert _scalars(tmp_path / "logs" / "study")["only/seed"] == [(1, 1.0)]
    assert list((tmp_path / "logs" / "trial-00000").glob("events*"))


def test_without_a_folder_the_source_is_left_alone() -> None:
    source = ListedJobs([])
    with watched(source, None) as heard:
        assert heard is source


def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with (
        pytest.raises(MissingExtra, match=r"pip install 'cipher-search\[tensorboard\]'"),
        watched(ListedJobs([]), tmp_path),
    ):
        pass


def test_optional_members_of_the_source_are_kept(tmp_path: Path) -> None:
    class Metered(ListedJobs):
        def metrics(self) -> dict[str, float]:
            return {"best.accuracy": 1.0}

    with watched(Metered([]), tmp_path) as heard:
        assert getattr(heard, "metrics")() == {"best.accuracy": 1.0}  # noqa: B009
