"""The storage of the mirror study: Optuna's contract over plain dictionaries, with taking back."""

from __future__ import annotations

import copy
from collections.abc import Container, Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

STUDY = 0
"""Id of the one study."""


class MirrorStorage(BaseStorage):
    """One study in plain dictionaries, for one thread, whose trials can be taken back.

    Optuna's own in-memory storage copies, locks, and cannot forget a trial, so that every refused
    proposal would stay in it as a failure.
    """

    def __init__(self) -> None:
        self.next_number = 0
        self.study_attrs: dict[str, Any] = {}
        self._directions: list[StudyDirection] = []
        self._trials: dict[int, FrozenTrial] = {}

    def put(self, trial: FrozenTrial) -> None:
        """Add ``trial`` under its number, or replace it."""
        late = trial.number not in self._trials and any(n > trial.number for n in self._trials)
        self._trials[trial.number] = trial
        if late:
            self._trials = dict(sorted(self._trials.items()))

    def drop(self, number: int) -> None:
        """Forget a trial."""
        self._trials.pop(number, None)

    def create_new_study(
        self, directions: Sequence[StudyDirection], study_name: str | None = None
    ) -> int:
        """The one study."""
        self._directions = list(directions)
        return STUDY

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        """A running trial with number and id ``next_number``."""
        trial = template_trial or optuna.trial.create_trial(state=TrialState.RUNNING)
        trial.number = trial._trial_id = self.next_number
        self.put(trial)
        return trial.number

    def set_trial_param(
        self,
        trial_id: int,
        param_name: str,
        param_value_internal: float,
        distribution: BaseDistribution,
    ) -> None:
        """Set a parameter of a scratch trial."""
        trial = self._trials[trial_id]
        trial.distributions[param_name] = distribution
        trial.params[param_name] = distribution.to_external_repr(param_value_internal)

    def set_trial_state_values(
        self, trial_id: int, state: TrialState, values: Sequence[float] | None = None
    ) -> bool:
        """Set state and values."""
        trial = self._trials[trial_id]
        trial.state, trial.values = state, None if values is None else list(values)
        return True

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Set what a sampler remembers of a trial."""
        self._trials[trial_id].system_attrs[key] = value

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Set a user attribute."""
        self._trials[trial_id].user_attrs[key] = value

    def set_trial_intermediate_value(
        self, trial_id: int, step: int, intermediate_value: float
    ) -> None:
        """Set an intermediate value."""
        self._trials[trial_id].intermediate_values[step] = intermediate_value

    def get_trial(self, trial_id: int) -> FrozenTrial:
        """A trial, not a copy.

        Raises:
            KeyError: there is none with this number.
        """
        return self._trials[trial_id]

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        """All trials by number."""
        found = [t for t in self._trials.values() if states is None or t.state in states]
        return copy.deepcopy(found) if deepcopy else found

    def set_study_system_attr(self, study_id: int, key: str, value: Any) -> None:
        """Set what a sampler remembers of the study."""
        self.study_attrs = {**self.study_attrs, key: value}

    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        """What samplers remember of the study."""
        return self.study_attrs

    def get_study_directions(self, study_id: int) -> list[StudyDirection]:
        """One direction per objective."""
        return self._directions

    def get_study_id_from_name(self, study_name: str) -> int:
        """The one study."""
        return STUDY

    def get_study_name_from_id(self, study_id: int) -> str:
        """Its name."""
        return "mirror"

    def get_study_user_attrs(self, study_id: int) -> dict[str, Any]:
        """None are kept."""
        return {}

    def get_all_studies(self) -> list[Any]:
        """Not listed: the mirror is nobody else's."""
        return []

    def set_study_user_attr(self, study_id: int, key: str, value: Any) -> None:
        """Not kept."""

    def delete_study(self, study_id: int) -> None:
        """Forget everything."""
        self._trials, self.study_attrs = {}, {}
