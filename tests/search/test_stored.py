"""Trials are read back from Optuna's form, also such as others wrote into the study."""

from __future__ import annotations

import json
from pathlib import Path

from optuna.distributions import FloatDistribution
from optuna.trial import TrialState, create_trial

from search.api.trial import Outcome
from search.records import outcome_to_data, pack_vector
from search.stored import trial_from


def test_point_artefacts_and_outcome(tmp_path: Path) -> None:
    frozen = create_trial(
        state=TrialState.COMPLETE,
        value=1.5,
        params={"x": 0.5},
        distributions={"x": FloatDistribution(0, 1)},
        user_attrs={
            "seed": 9,
            "origin": {"kind": "user", "by": "me"},
            "vectors": {"mask": pack_vector((1, 0, 1))},
            "outcome": outcome_to_data(Outcome(0, "complete")),
        },
        system_attrs={
            "artifacts:id7": json.dumps({"artifact_id": "id7", "filename": "sub__weights.bin"})
        },
    )
    trial = trial_from(frozen, tmp_path)
    assert trial.point == {"x": 0.5, "mask": (1, 0, 1)}
    assert (trial.seed, trial.origin.by, trial.values) == (9, "me", (1.5,))
    assert trial.artefacts == {"sub/weights.bin": tmp_path / "id7"}


def test_an_outcome_counts_only_once_the_trial_is_ended(tmp_path: Path) -> None:
    attrs = {"outcome": outcome_to_data(Outcome(0, "complete"))}
    running = create_trial(state=TrialState.RUNNING, user_attrs=attrs)
    assert trial_from(running, tmp_path).status == "running"
    foreign = create_trial(state=TrialState.FAIL)
    assert trial_from(foreign, tmp_path).status == "crashed"
