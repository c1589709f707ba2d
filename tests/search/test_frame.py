"""Trials as a pandas frame."""

from __future__ import annotations

from collections.abc import Callable

from search import Study
from search.frame import trials_frame


def test_one_row_a_trial_with_units_in_column_names(toy_study: Callable[..., Study]) -> None:
    study = toy_study(trials=4)
    snapshot = study.run()
    frame = trials_frame(snapshot)
    assert list(frame.index) == [0, 1, 2, 3]
    assert frame["metrics.cost [ms]"].tolist() == [t.values[1] for t in snapshot.trials if t.values]
    assert frame["params.x"].tolist() == [t.point["x"] for t in snapshot.trials]
