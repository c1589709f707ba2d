"""An Optuna study in memory that mirrors ours, from which Optuna's samplers propose.

Its trial numbers are ours. A proposal is asked on a scratch trial that is taken back at once, so
asking changes nothing; a trial enters the mirror only when it really starts. The durable storage
of a run is another thing (:mod:`search.store`); this one is rebuilt from it.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, RandomSampler
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from search.api.domain import (
    Integer,
    Ordinal,
    Param,
    Point,
    Real,
    Scalar,
    ScalarDomain,
    Value,
    Vector,
    is_active,
)
from search.api.metric import Goal

_STUDY = 0


@dataclass(frozen=True)
class Asked:
    """A proposal for one trial and what the sampler wants to remember with it.

    Args:
        number: trial number it was asked for.
        values: active scalar parameters.
        attrs: attributes the sampler left on the trial.
        study: attributes the sampler left on the study.
    """

    number: int
    values: Point
    attrs: Mapping[str, Any] = field(default_factory=dict)
    study: Mapping[str, Any] = field(default_factory=dict)


def distribution(domain: ScalarDomain) -> BaseDistribution:
    """Optuna's distribution for ``domain``.

    Ordinals become their index, so that order counts; choices become their index as well, since
    Optuna takes ``1``, ``1.0`` and ``True`` for the same choice.
    """
    if isinstance(domain, Real):
        return FloatDistribution(domain.low, domain.high, log=domain.log)
    if isinstance(domain, Integer):
        last = domain.low + (int(domain.size) - 1) * domain.step
        return IntDistribution(domain.low, last, log=domain.log, step=domain.step)
    if isinstance(domain, Ordinal):
        return IntDistribution(0, len(domain.options) - 1)
    return CategoricalDistribution(range(len(domain.options)))


def outside(domain: ScalarDomain, value: Any) -> Scalar:
    """Our value for Optuna's."""
    if isinstance(domain, Real):
        return min(float(domain.high), max(float(domain.low), float(value)))
    if isinstance(domain, Integer):
        return int(value)
    return domain.options[int(value)]


def inside(domain: ScalarDomain, value: Scalar) -> float | int:
    """Optuna's value for ours, which must lie in ``domain``."""
    if isinstance(domain, Real):
        return float(value)
    if isinstance(domain, Integer):
        return int(value)
    same = (type(o) is type(value) and o == value for o in domain.options)
    return next(i for i, found in enumerate(same) if found)


class Mirror:
    """The mirror study.

    Args:
        params: all parameters; vectors are ignored.
        goals: one per objective.
    """

    def __init__(self, params: Sequence[Param], goals: Sequence[Goal]) -> None:
        self._domains: dict[str, ScalarDomain] = {}
        self._params: list[Param] = []
        for param in params:
            if not isinstance(param.domain, Vector):
                self._domains[param.name] = param.domain
                self._params.append(param)
        self.distributions = {n: distribution(d) for n, d in self._domains.items()}
        self._storage = MirrorStorage()
        directions = [
            StudyDirection.MINIMIZE if goal == "min" else StudyDirection.MAXIMIZE for goal in goals
        ]
        self._storage.create_new_study(directions, "mirror")
        # The constructor, not create_study: the latter logs a line per study.
        self.study = optuna.Study("mirror", self._storage, sampler=RandomSampler())

    @property
    def trials(self) -> list[FrozenTrial]:
        """Trials started so far, by number; not copies."""
        return self._storage.get_all_trials(_STUDY, deepcopy=False)

    def ask(self, sampler: BaseSampler, number: int) -> Asked:
        """What ``sampler`` proposes for trial ``number``; the mirror is left as it was."""
        self.study.sampler = sampler
        before = dict(self._storage.study_attrs)
        if any(trial.number == number for trial in self.trials):  # a repeat of a known trial
            number = self.trials[-1].number + 1
        self._storage.next_number = number
        with warnings.catch_warnings():
            # Our defaults use options Optuna calls experimental; the pinned version is tested.
            warnings.simplefilter("ignore", ExperimentalWarning)
            try:
                values = self._suggest(self.study.ask())
                frozen = self._storage.get_trial(number)
                after = self._storage.get_study_system_attrs(_STUDY)
            finally:
                self._storage.drop(number)
                self._storage.study_attrs = before
        new = {k: v for k, v in after.items() if k not in before or before[k] != v}
        return Asked(number, values, dict(frozen.system_attrs), new)

    def start(
        self,
        number: int,
        point: Point,
        attrs: Mapping[str, Any] | None = None,
        study: Mapping[str, Any] | None = None,
    ) -> None:
        """Trial ``number`` runs with ``point``, with what a sampler remembers of it."""
        self._put(number, point, TrialState.RUNNING, None, attrs or {}, {})
        self._storage.study_attrs.update(study or {})

    def finish(
        self,
        number: int,
        state: TrialState,
        values: Sequence[float] | None,
        constraints: Mapping[str, float],
    ) -> None:
        """Trial ``number`` ended; constraints are feasible at or below 0."""
        running = self._storage.get_trial(number)
        trial = copy.copy(running)
        trial.state, trial.system_attrs = state, dict(running.system_attrs)
        trial.values = None if values is None else list(values)
        trial.datetime_complete = trial.datetime_start
        for name, excess in constraints.items():
            trial.set_constraint(name, excess)
        self._storage.put(trial)

    def attach(self, number: int, attrs: Mapping[str, Any], instead_of: str) -> None:
        """Replace the attributes of a trial that begin with ``instead_of`` by ``attrs``."""
        trial = self._storage.get_trial(number)
        kept = {k: v for k, v in trial.system_attrs.items() if not k.startswith(instead_of)}
        trial.system_attrs = {**kept, **attrs}

    def _suggest(self, trial: optuna.Trial) -> dict[str, Value]:
        point: dict[str, Value] = {}
        for param in self._params:
            if not is_active(param, point):
                continue
            name, domain = param.name, self._domains[param.name]
            point[name] = outside(domain, _suggested(trial, name, domain))
        return point

    def _put(
        self,
        number: int,
        point: Point,
        state: TrialState,
        values: Sequence[float] | None,
        attrs: Mapping[str, Any],
        constraints: Mapping[str, float],
    ) -> None:
        params: dict[str, Any] = {}
        for name, domain in self._domains.items():
            value = point.get(name)
            if value is not None and not isinstance(value, tuple):
                params[name] = inside(domain, value)
        trial = optuna.trial.create_trial(
            state=state,
            values=values,
            params=params,
            distributions={name: self.distributions[name] for name in params},
            system_attrs=dict(attrs),
            constraints=dict(constraints) or None,
        )
        trial.number = trial._trial_id = number
        self._storage.put(trial)


def _suggested(trial: optuna.Trial, name: str, domain: ScalarDomain) -> Any:
    if isinstance(domain, Real):
        return trial.suggest_float(name, domain.low, domain.high, log=domain.log)
    if isinstance(domain, Integer):
        last = domain.low + (int(domain.size) - 1) * domain.step
        return trial.suggest_int(name, domain.low, last, step=domain.step, log=domain.log)
    if isinstance(domain, Ordinal):
        return trial.suggest_int(name, 0, len(domain.options) - 1)
    return trial.suggest_categorical(name, range(len(domain.options)))


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
        return _STUDY

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
        return _STUDY

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
