from __future__ import annotations

import pytest

from evaluators.device.forecast import Forecaster
from evaluators.device.traces import Trace


def test_without_experience_power_stays() -> None:
    forecaster = Forecaster(Trace((0.0, 5.0), (1e-3, 8e-3)))
    assert set(forecaster.outlook(2.0, 10.0)) == {1e-3}
    assert forecaster.now_w(6.0) == 8e-3


def test_it_learns_what_followed_such_moments() -> None:
    """Power is strong for 1 s in every 10 s; decisions fall on the strong seconds."""
    starts = tuple(t for k in range(50) for t in (10.0 * k, 10.0 * k + 1.0))
    forecaster = Forecaster(Trace(starts, (8e-3, 0.0) * 50))
    for k in range(40):
        outlook = forecaster.outlook(10.0 * k, 10.0)
    experience = [p for p in outlook if p != 8e-3]
    assert len(experience) == 39
    assert experience == pytest.approx([0.8e-3] * 39)
    # Nothing is known yet of moments without power.
    assert set(forecaster.outlook(395.0, 10.0)) == {0.0}


def test_the_future_changes_nothing() -> None:
    """Two traces that part after a decision give the same outlook at it."""
    past = ((0.0, 3.0, 9.0, 20.0), (1e-3, 2e-3, 1e-3, 3e-3))
    a = Forecaster(Trace((*past[0], 30.0), (*past[1], 0.0)))
    b = Forecaster(Trace((*past[0], 30.0), (*past[1], 9e-3)))
    for now in (1.0, 6.0, 12.0, 18.0, 24.0, 29.9):
        assert a.outlook(now, 5.0) == b.outlook(now, 5.0)
