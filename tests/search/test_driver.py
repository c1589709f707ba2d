"""Budgets, retries, and what happens after a driver was killed."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from search import Study
from search.api.errors import TooManyFailures
from search.api.trial import Outcome, Trial
from search.driver import legal_point_error, trial_seed
from search.store import Store

Make = Callable[..., Study]


def test_the_budget_counts_trials_in_all(toy_study: Make) -> None:
    assert len(toy_study(trials=4).run().trials) == 4
    assert len(toy_study(trials=7).run().trials) == 7
    assert len(toy_study(trials=7).run().trials) == 7


def test_same_seed_same_trials_and_seeds_differ_between_trials(
    toy_study: Make, tmp_path: Path
) -> None:
    runs = [
        toy_study(directory=tmp_path / name, seed=seed).run().trials
        for name, seed in (("a", 1), ("b", 1), ("c", 2))
    ]
    points = [[(t.point, t.seed, t.values) for t in trials] for trials in runs]
    assert points[0] == points[1]
    assert points[0] != points[2]
    assert len({t.seed for t in runs[0]}) == len(runs[0])
    assert trial_seed(1, 0) != trial_seed(0, 1)


def test_no_point_is_evaluated_twice_and_a_finite_space_ends(toy_study: Make) -> None:
    from search import Choice, Param

    seen: list[Any] = []

    def values(candidate: Any) -> dict[str, float]:
        seen.append((candidate.payload["a"], candidate.payload["b"]))
        return {"loss": 0.0, "cost": 0.0}

    params = (Param("a", Choice((1, 2, 3))), Param("b", Choice(("x", "y"))))
    study = toy_study(space_params=params, function=values, trials=50)
    study.run()
    assert sorted(seen) == [(a, b) for a in (1, 2, 3) for b in ("x", "y")]


def test_failures_in_a_row_stop_the_study_and_keep_what_is_done(toy_study: Make) -> None:
    def values(candidate: Any) -> dict[str, float]:
        raise RuntimeError("no such device")

    study = toy_study(function=values, trials=10)
    with pytest.raises(TooManyFailures, match="no such device"):
        study.run()
    trials = study.trials()
    assert [t.status for t in trials] == ["failed"] * 3
    assert trials[0].outcome is not None
    assert "Traceback" in trials[0].outcome.error


def test_a_single_failure_does_not_stop(toy_study: Make) -> None:
    count = [0]

    def values(candidate: Any) -> dict[str, float]:
        count[0] += 1
        if count[0] % 2:
            raise RuntimeError("every second one")
        return {"loss": 0.0, "cost": 0.0}

    statuses = [t.status for t in toy_study(function=values, trials=6).run().trials]
    assert statuses == ["failed", "complete"] * 3


def test_nan_is_a_failure_not_a_value(toy_study: Make) -> None:
    study = toy_study(function=lambda c: {"loss": float("nan"), "cost": 0.0}, trials=1)
    trial = study.run().trials[0]
    assert trial.status == "failed"


def test_ask_and_tell_with_a_lost_driver(toy_study: Make, tmp_path: Path) -> None:
    study = toy_study(trials=3)
    jobs = [study.ask() for _ in range(3)]
    assert study.ask() is None  # all three are in flight
    assert jobs[0] is not None
    study.tell(jobs[0], {"loss": 1.0, "cost": 2.0})
    # The driver vanishes: its lock goes with it, two trials stay running.
    assert study._session is not None
    study._session.store.directory.release()
    study._session = None

    snapshot = toy_study(trials=3).run()
    by_status = [(t.number, t.status, t.origin.kind, t.origin.parent) for t in snapshot.trials]
    assert by_status == [
        (0, "complete", "sampler", None),
        (1, "crashed", "sampler", None),
        (2, "crashed", "sampler", None),
        (3, "complete", "retry", 2),
        (4, "complete", "retry", 1),
    ]
    assert snapshot.trials[3].point == snapshot.trials[2].point
    assert snapshot.trials[3].seed == snapshot.trials[2].seed


def test_an_outcome_written_before_the_kill_is_kept(toy_study: Make) -> None:
    from search.records import outcome_to_data

    study = toy_study(trials=2)
    job = study.ask()
    assert job is not None
    assert study._session is not None
    told = study.tell(job, {"loss": 1.0, "cost": 2.0})
    second = study.ask()
    assert second is not None
    store: Store = study._session.store
    assert told.outcome is not None
    data = outcome_to_data(told.outcome)
    store._storage.set_trial_user_attr(store._id(second.number), "outcome", data)
    store.directory.release()
    study._session = None
    trials = toy_study(trials=2).run().trials
    assert [(t.status, t.values) for t in trials] == [("complete", (1.0, 2.0))] * 2


def test_a_crashed_worker_is_retried_once_then_counted(toy_study: Make, tmp_path: Path) -> None:
    def values(candidate: Any) -> dict[str, float]:
        if candidate.payload["n"] <= 5:
            os.kill(os.getpid(), 9)
        return {"loss": 0.0, "cost": 0.0}

    study = toy_study(function=values, trials=4, runner={"name": "process", "slots": 1}, seed=3)
    trials = study.run().trials
    crashed = [t for t in trials if t.status == "crashed"]
    assert crashed
    assert {t.point["n"] <= 5 for t in crashed} == {True}  # type: ignore[operator]
    assert all(t.point["n"] > 5 for t in trials if t.status == "complete")  # type: ignore[operator]
    retried = {t.origin.parent for t in trials if t.origin.kind == "retry"}
    firsts = [t for t in crashed if t.origin.kind == "sampler"]
    assert {t.number for t in firsts} == retried
    assert len(trials) - len(retried) == 4


def test_worker_time_budget_stops(toy_study: Make) -> None:
    import time

    def values(candidate: Any) -> dict[str, float]:
        time.sleep(0.05)
        return {"loss": 0.0, "cost": 0.0}

    study = toy_study(function=values, trials=100, budget={"worker_time": "0.2 s"})
    assert 3 <= len(study.run().trials) <= 5
    assert "worker-time" in study.last_stop


def test_timeout_of_a_call_stops_and_a_later_call_goes_on(toy_study: Make) -> None:
    import time

    def values(candidate: Any) -> dict[str, float]:
        time.sleep(0.05)
        return {"loss": 0.0, "cost": 0.0}

    study = toy_study(function=values, trials=12)
    first = study.run(timeout_s=0.2)
    assert 1 <= len(first.trials) < 12
    assert "wall-clock" in study.last_stop
    done = [t for t in study.run().trials if t.status == "complete"]
    assert len(done) == 12


def test_queued_points_go_first_and_are_marked(toy_study: Make) -> None:
    study = toy_study(trials=3)
    point = {"x": 0.3, "n": 1, "kind": "v", "mask": [1] * 12}
    study.suggest(point, "the known optimum")
    trials = study.run().trials
    assert trials[0].origin.kind == "user"
    assert trials[0].origin.reason == "the known optimum"
    assert trials[0].values == (0.0, 12.0)


def test_legal_point_error() -> None:
    from search import Integer, Param

    params = (Param("n", Integer(1, 4)), Param("m", Integer(1, 4), when={"n": (2,)}))
    assert legal_point_error(params, {"n": 1}) == ""
    assert "'m' is missing" in legal_point_error(params, {"n": 2})
    assert "inactive" in legal_point_error(params, {"n": 1, "m": 1})
    assert "integer in [1, 4]" in legal_point_error(params, {"n": 9})


def test_callbacks_and_metrics(toy_study: Make) -> None:
    seen: list[int] = []
    study = toy_study(trials=3)
    best: list[float] = []

    def callback(trial: Trial) -> None:
        assert study._session is not None
        seen.append(trial.number)
        best.append(study._session.driver.metrics()["best_cost"])

    values = [t.values[1] for t in study.run(callbacks=[callback]).trials if t.values]
    assert seen == [0, 1, 2]
    assert best == [min(values[: i + 1]) for i in range(3)]


def test_a_report_after_a_broken_store_is_ignored(toy_study: Make) -> None:
    from search.api.errors import StoreError

    study = toy_study(trials=2)
    job = study.ask()
    assert job is not None
    assert study._session is not None
    driver = study._session.driver
    driver.fatal = StoreError("disk")
    driver.report(Outcome(job.number, "failed"))
    assert driver.next() is None
    with pytest.raises(StoreError, match="disk"):
        driver.raise_if_broken()
    driver.fatal = None
