"""What searchers made of Optuna's samplers share.

Each proposal is made by a fresh sampler object seeded from (study seed, trial number, attempt) over
a mirror of the told trials, so it depends on the history alone: a killed and resumed run goes on
as the uninterrupted one would have. Scalars are Optuna's; vectors are proposed whole by
:mod:`search.searchers.vectors`.
"""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler
from optuna.trial import TrialState

from search.api.domain import Point, Vector, sample_point
from search.api.searching import Problem
from search.api.trial import Trial
from search.searchers.history import History, member_of
from search.searchers.mirror import Asked, Mirror
from search.searchers.moves import settle, stream
from search.searchers.vectors import VectorProposals

GATED = "ended without values"
"""Constraint told for a trial that ended early though no constraint was exceeded."""

_ASKS = 4
"""Refusals after which the sampler is no longer asked: it would only repeat itself."""


class OptunaBacked(ABC):
    """What the five share; abstract. Subclasses say which sampler and what it must remember.

    Args:
        problem: what is searched.

    Raises:
        ConfigError: the sampler does not suit the space or the objectives.
    """

    _memory: tuple[str, ...] = ()  # parts of names of trial attributes kept over a restart
    _breeds = True  # whether vectors are bred from the best trials, or stay random

    def __init__(self, problem: Problem) -> None:
        self._problem = problem
        self._scalars = [p for p in problem.params if not isinstance(p.domain, Vector)]
        self._mirror = Mirror(problem.params, problem.goals)
        self._history = History(problem, 20 * len(problem.goals))
        self._vectors = VectorProposals(problem, self._history)
        self._asked = Asked(-1, {})
        self._remembered: dict[int, dict[str, Any]] = {}

    @property
    @abstractmethod
    def name(self) -> str:
        """Name for reports."""

    @property
    @abstractmethod
    def _how(self) -> str:
        """How scalars are proposed, for ``reason``."""

    @abstractmethod
    def _sampler(self, seed: int, number: int) -> BaseSampler:
        """A fresh sampler for one proposal."""

    @property
    def reason(self) -> str:
        """Why this searcher, one line; says how vectors are proposed."""
        vectors = self._vectors.names
        if not vectors:
            return self._how
        kinds = f"{len(self._scalars)} scalar parameters" if self._scalars else "no scalars"
        bred = "bred by us from the best ones (stratified at first)"
        whole = bred if self._breeds else "drawn by us at all densities alike"
        return f"{self._how} ({kinds}); {', '.join(vectors)} proposed whole, {whole}, not by Optuna"

    def suggest(self, number: int, attempt: int) -> Point | None:
        """A point; after a few refusals a random one. None once a small space is used up."""
        rng = stream(self._problem.seed, number, attempt, self.name)
        if attempt < _ASKS and self._scalars:
            self._asked = self._ask(rng.getrandbits(32), number)
            scalars = self._asked.values
        else:
            scalars = sample_point(self._scalars, rng)
        if self._vectors.names:
            ready = self._breeds and self._vectors.warm and attempt < _ASKS
            parents = self._vectors.parents(rng) if ready else []
            scalars = self._vectors.propose(scalars, number + 97 * attempt, parents, rng)
        return settle(self._problem, scalars, self._history.seen, rng)

    def start(self, number: int, point: Point) -> None:
        """Trial ``number`` runs with ``point``, whether proposed, repaired or somebody else's."""
        asked = self._asked if self._asked.number == number else Asked(number, {})
        self._start(number, point, asked.attrs, asked.study)

    def finish(self, trial: Trial) -> Mapping[str, Any]:
        """Tell the mirror. Returns what the sampler keeps of the trial (small, JSON-safe)."""
        if trial.number not in self._remembered:
            self.start(trial.number, trial.point)
        member = member_of(trial, [1.0] * len(self._problem.goals), self._problem.constraints)
        self._vectors.learn(self._history.finish(trial))
        if member is None:
            self._mirror.finish(trial.number, TrialState.FAIL, None, {})
        elif member.losses is not None:
            told = {name: member.excess.get(name, 0.0) for name in self._problem.constraints}
            self._mirror.finish(trial.number, TrialState.COMPLETE, member.losses, told)
        else:
            told = dict(member.excess)
            if not any(excess > 0 for excess in told.values()):
                told[GATED] = 1.0
            self._mirror.finish(trial.number, TrialState.PRUNED, None, told)
        return self._remembered[trial.number]

    def replay(self, trials: Sequence[Trial]) -> None:
        """Take over earlier trials, with what the sampler kept of them."""
        for trial in trials:
            if trial.status == "running":
                continue  # its worker is gone; in the mirror it would repel proposals for ever
            kept = trial.memory
            self._start(trial.number, trial.point, kept.get("trial", {}), kept.get("study", {}))
            self.finish(trial)

    def _ask(self, seed: int, number: int) -> Asked:
        with warnings.catch_warnings():
            # Our defaults use what Optuna calls experimental; the pinned version is tested.
            warnings.simplefilter("ignore", ExperimentalWarning)
            return self._mirror.ask(self._sampler(seed, number), number)

    def _start(
        self, number: int, point: Point, attrs: Mapping[str, Any], study: Mapping[str, Any]
    ) -> None:
        kept = {k: v for k, v in attrs.items() if any(part in k for part in self._memory)}
        self._mirror.start(number, point, kept, study if self._memory else {})
        self._history.start(number, point)
        self._remembered[number] = {"trial": kept, "study": dict(study)} if kept else {}
