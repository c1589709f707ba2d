"""An Optuna study in memory that mirrors ours, from which Optuna's samplers propose.

Its trial numbers are ours. A proposal is asked on a scratch trial that is taken back at once, so
asking changes nothing; a trial enters the mirror only when it really starts. The durable storage
of a run is another thing (:mod:`search.store`); this one is rebuilt from it.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import BaseSampler, RandomSampler
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
from search.searchers.mirror_storage import STUDY, MirrorStorage


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
        return self._storage.get_all_trials(STUDY, deepcopy=False)

    def ask(self, sampler: BaseSampler, number: int) -> Asked:
        """What ``sampler`` proposes for trial ``number``; the mirror is left as it was."""
        self.study.sampler = sampler
        before = dict(self._storage.study_attrs)
        if any(trial.number == number for trial in self.trials):  # a repeat of a known trial
            number = self.trials[-1].number + 1
        self._storage.next_number = number
        try:
            values = self._suggest(self.study.ask())
            frozen = self._storage.get_trial(number)
            after = self._storage.get_study_system_attrs(STUDY)
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
