"""Trials: what counts as feasible, and which measurement speaks for a metric."""

from __future__ import annotations

import dataclasses
import pickle
from collections.abc import Mapping
from typing import Any

import pytest

from search.api.metric import Measurement
from search.api.trial import Job, Origin, Outcome, RungResult, Trial


def measured(metric: str, value: float, rung: str, split: str = "") -> Measurement:
    return Measurement(metric, value, "%", rung, "measured", split=split)


RUNGS = (
    RungResult("quick", 1.0, (measured("accuracy", 70.0, "quick", "validation"),)),
    RungResult(
        "full",
        9.0,
        (
            measured("accuracy", 80.0, "full", "validation"),
            measured("accuracy", 60.0, "full", "test"),
            measured("loss", 0.5, "full"),
        ),
    ),
)


def trial(status: Any = "complete", excess: Mapping[str, float] | None = None) -> Trial:
    outcome = Outcome(0, "complete", RUNGS, excess=excess or {})
    return Trial(0, {"x": 1}, 7, Origin("sampler"), status, (80.0,), outcome)


def test_measurements_come_lowest_rung_first() -> None:
    assert [m.fidelity for m in Outcome(0, "gated", RUNGS).measurements] == [
        "quick", "full", "full", "full",
    ]  # fmt: skip
    assert Outcome(0, "failed").measurements == ()


def test_the_highest_rung_speaks_for_a_metric_and_never_the_test_split() -> None:
    found = trial().measurement("accuracy")
    assert found is not None
    assert (found.value, found.fidelity, found.split) == (80.0, "full", "validation")
    assert trial().measurement("latency") is None


def test_a_running_trial_has_measured_nothing() -> None:
    running = Trial(0, {}, 7, Origin("user"), "running")
    assert running.measurement("accuracy") is None
    assert not running.feasible


@pytest.mark.parametrize(
    ("status", "excess", "feasible"),
    [
        ("complete", {}, True),
        ("complete", {"latency": 0.0, "size": -3.0}, True),
        ("complete", {"latency": 1e-9, "size": -3.0}, False),
        ("gated", {}, False),
        ("infeasible", {}, False),
        ("crashed", {}, False),
    ],
)
def test_feasible_is_complete_without_excess(
    status: str, excess: Mapping[str, float], feasible: bool
) -> None:
    assert trial(status, excess).feasible is feasible


def test_jobs_and_outcomes_cross_processes() -> None:
    job = Job(3, {"mask": (0, 1)}, seed=5, up_to="quick", timeout_s=2.0)
    outcome = trial().outcome
    assert pickle.loads(pickle.dumps((job, outcome))) == (job, outcome)
    with pytest.raises(dataclasses.FrozenInstanceError):
        job.seed = 6  # type: ignore[misc]
