"""What is stored comes back, running or finished, never half; over journal and SQLite."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import optuna
import pytest

from search import Choice, Constraint, Integer, Measurement, Metric, Param, Real, Vector
from search.api.errors import StoreError
from search.api.trial import Origin, Outcome, RungResult
from search.run_directory import JOURNAL, RunDirectory
from search.store import Store
from search.stored import Meta

PARAMS = (
    Param("x", Real(1e-4, 1.0, log=True)),
    Param("n", Integer(1, 8, step=2)),
    Param("kind", Choice((True, "v", 2))),
    Param("mask", Vector(Choice((0, 1)), 300)),
)
LOSS = Metric("loss", "1", "min", "doc")
META = Meta(
    "s", "main", "abc", {"study": {"storage": "journal"}}, (LOSS,),
    (Constraint.parse("loss <= 2"),), PARAMS, {"loss": LOSS}, (), "random",
)  # fmt: skip
POINT = {"x": 0.01, "n": 3, "kind": "v", "mask": (1, 0, 1) * 100}


@pytest.fixture(params=["journal", "sqlite"])
def directory(request: pytest.FixtureRequest, tmp_path: Path) -> RunDirectory:
    url = "journal" if request.param == "journal" else f"sqlite:///{tmp_path}/s.db"
    return RunDirectory.create(tmp_path / "r", url, "s")


@contextlib.contextmanager
def opened(directory: RunDirectory) -> Iterator[Store]:
    if directory._lock is None:
        directory.lock()
    try:
        store = Store.open(directory)
    except StoreError:
        directory.release()
        raise
    store.begin(META)
    try:
        yield store
    finally:
        store.close()


def outcome(number: int, value: float, **changes: object) -> Outcome:
    m = Measurement("loss", value, "1", "full", "measured")
    fields = {
        "status": "complete",
        "rungs": (RungResult("full", 0.1, (m,)),),
        "excess": {"loss <= 2": value - 2},
    }
    return Outcome(number, **{**fields, **changes})  # type: ignore[arg-type]


def test_a_trial_comes_back_after_reopening(directory: RunDirectory, tmp_path: Path) -> None:
    weights = tmp_path / "trial" / "weights.bin"
    weights.parent.mkdir()
    weights.write_bytes(b"w" * 1000)
    with opened(directory) as store:
        number = store.start(PARAMS, POINT, 7, Origin("sampler", "random"))
        running = store.trial(number)
        assert running.status == "running"
        assert running.point == POINT
        store.finish(outcome(number, 0.5, artefacts={"sub/weights.bin": weights}), [0.5], {"m": 1})
    with opened(directory) as store:
        trial = store.trial(0)
    assert (trial.status, trial.values, trial.point, trial.seed) == ("complete", (0.5,), POINT, 7)
    assert trial.feasible
    assert trial.memory == {"m": 1}
    assert trial.artefacts["sub/weights.bin"].read_bytes() == b"w" * 1000
    assert trial.outcome is not None
    assert trial.outcome.measurements[0].evidence == "measured"


def test_statuses_become_optuna_states(directory: RunDirectory) -> None:
    states = {}
    with opened(directory) as store:
        for status in ("complete", "gated", "infeasible", "failed", "crashed"):
            number = store.start(PARAMS, {**POINT, "x": 0.1}, 0, Origin("user"))
            told = Outcome(number, status)  # type: ignore[arg-type]
            if status == "complete":
                told = outcome(number, 3.0)
            store.finish(told, [3.0] if status == "complete" else None, {})
            states[status] = store.study.trials[number].state.name
            assert store.trial(number).status == status
        assert not store.trial(0).feasible  # the constraint is violated
        assert store.study.trials[0].constraints == {"loss <= 2": 1.0}
    assert states == {
        "complete": "COMPLETE", "gated": "PRUNED", "infeasible": "PRUNED",
        "failed": "FAIL", "crashed": "FAIL",
    }  # fmt: skip


def test_a_vector_is_one_attribute_and_no_parameter(directory: RunDirectory) -> None:
    with opened(directory) as store:
        store.start(PARAMS, POINT, 0, Origin("user"))
        frozen = store.study.trials[0]
    assert set(frozen.params) == {"x", "n", "kind"}
    assert len(frozen.user_attrs["vectors"]["mask"]["data"]) < 60


def test_unfinished_trials_are_found_with_an_outcome_already_written(
    directory: RunDirectory,
) -> None:
    with opened(directory) as store:
        store.start(PARAMS, POINT, 0, Origin("user"))
        second = store.start(PARAMS, {**POINT, "n": 5}, 0, Origin("user"))
        # What a driver killed just before its very last write leaves behind:
        from search.records import outcome_to_data

        trial_id = store.study.trials[second]._trial_id
        store._storage.set_trial_user_attr(
            trial_id, "outcome", outcome_to_data(outcome(second, 0.25))
        )
    with opened(directory) as store:
        found = store.unfinished()
        assert [(t.number, o is not None) for t, o in found] == [(0, False), (1, True)]
        assert store.trial(1).status == "running"


def test_a_database_study_of_another_run_is_refused(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/shared.db"
    with opened(RunDirectory.create(tmp_path / "a", url, "s")):
        pass
    other = RunDirectory.create(tmp_path / "b", url, "s")
    store = Store.open(other)
    with pytest.raises(StoreError, match="another run"):
        store.begin(META)
    store.close()


def test_reading_needs_no_lock(directory: RunDirectory) -> None:
    with opened(directory) as store:
        store.start(PARAMS, POINT, 0, Origin("user"))
        reader = Store.read(directory.path)
        assert reader.trial(0).status == "running"
        assert reader.snapshot().params == PARAMS
        reader.close()


def test_sessions_add_up_and_a_killed_one_counts_to_its_last_trial(
    directory: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    import search.store

    clock = [1000.0]
    monkeypatch.setattr(search.store.time, "time", lambda: clock[0])
    with opened(directory) as store:
        store.start_session()
        clock[0] += 5
        store.end_session()
        store.start_session()
        clock[0] += 100  # killed: no end, and no trial finished
        assert store.seconds == 5
        store.start_session()
        clock[0] += 2
        store.end_session()
        assert store.seconds == 7


def test_a_full_disk_is_one_clear_error_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = RunDirectory.create(tmp_path / "r", "journal", "s")
    with opened(directory) as store:
        number = store.start(PARAMS, POINT, 0, Origin("user"))
        store.finish(outcome(number, 0.5), [0.5], {})

        def full(self: object, logs: object) -> None:
            with (directory.path / JOURNAL).open("ab") as f:
                f.write(b'{"op_code": 5, "tor')  # the part that still fitted
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(optuna.storages.journal.JournalFileBackend, "append_logs", full)
            with pytest.raises(StoreError, match="No space left"):
                store.start(PARAMS, {**POINT, "n": 5}, 0, Origin("user"))
    with opened(directory) as store:
        assert [t.status for t in store.trials()] == ["complete"]
        store.start(PARAMS, {**POINT, "n": 5}, 0, Origin("user"))
    with opened(directory) as store:
        assert [t.status for t in store.trials()] == ["complete", "running"]


def test_no_such_trial(directory: RunDirectory) -> None:
    with opened(directory) as store, pytest.raises(StoreError, match="no trial 4"):
        store.trial(4)


def test_a_newer_schema_is_refused(directory: RunDirectory) -> None:
    with opened(directory) as store:
        meta = dict(store.study.user_attrs["cipher_search"])
        store.study.set_user_attr("cipher_search", {**meta, "schema": 99})
    with pytest.raises(StoreError, match="newer"), opened(directory):
        pass
