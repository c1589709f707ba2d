"""Counts, fronts and times of a progress display."""

from __future__ import annotations

import random
import time
from typing import Any

import pytest

from search.api.metric import Metric
from search.api.trial import Origin, Outcome, Trial
from search.cli.tally import PREPARING, Tally
from search.pareto import non_dominated

ERROR, SPEED = Metric("error", "%", "min", ""), Metric("speed", "1", "max", "")


def trial(number: int, *values: float, status: Any = "complete", **outcome: Any) -> Trial:
    return Trial(
        number, {"x": 1}, 0, Origin("sampler"), status, tuple(values) or None,
        Outcome(number, status, **outcome),
    )  # fmt: skip


def test_best_and_front_heed_goal_and_feasibility() -> None:
    tally = Tally((ERROR, SPEED), 10)
    for t in (
        trial(0, 5.0, 1.0),
        trial(1, 4.0, 2.0),
        trial(2, 9.0, 3.0),
        trial(3, 0.0, 99.0, excess={"bound": 1.0}),
        trial(4, status="failed"),
    ):
        tally.finish(t)
    assert sorted(t.number for t in tally.front) == [1, 2]
    assert tally.best_text() == "error 4 % (#1), speed 3 (#2)"
    assert tally.status_text() == "4 complete, 1 failed"
    assert tally.done == 5


def test_the_front_is_that_of_the_exact_routine() -> None:
    rng = random.Random(3)
    points = [(rng.randrange(8), rng.randrange(8)) for _ in range(60)]
    tally = Tally((ERROR, SPEED), 60)
    for i, point in enumerate(points):
        tally.finish(trial(i, *map(float, point)))
    assert sorted(t.number for t in tally.front) == sorted(non_dominated(points, ["min", "max"]))


def test_crashed_trials_do_not_count_since_they_are_repeated() -> None:
    tally = Tally((ERROR,), 4)
    tally.finish(trial(0, status="crashed"))
    assert tally.done == 0


def test_progress_of_a_running_trial() -> None:
    tally = Tally((ERROR,), 4)
    tally.event(PREPARING, "step", {"step": 2, "loss": 0.5})
    assert PREPARING in tally.running
    tally.start(trial(0), "x=1")
    assert PREPARING not in tally.running
    tally.event(0, "rung", {"rung": "search"})
    tally.event(0, "step", {"step": 3, "loss": 0.25, "phase": "text is no value"})
    activity = tally.running[0]
    assert (activity.rung, activity.step, activity.values) == ("search", 3, {"loss": 0.25})
    tally.event(0, "rung", {"rung": "tune"})
    assert (activity.rung, activity.step, activity.values) == ("tune", None, {})
    tally.finish(trial(0, 1.0))
    assert tally.running == {}


def test_time_left_follows_the_pace_of_this_session(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    tally = Tally((ERROR,), 10, began=100.0)
    tally.take([trial(0, 1.0), trial(1, 1.0)])
    assert (tally.done, tally.left) == (2, None)
    tally.start(trial(2), "")
    clock[0] += 30
    tally.finish(trial(2, 1.0))
    tally.finish(trial(3, 1.0))
    assert tally.left == pytest.approx(6 * 15)
    assert tally.elapsed == 30
