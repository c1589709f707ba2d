"""What searchers share whose state depends on the order in which trials were told.

A chain or a network remembers the order of what it learnt, and with several trials in flight that
is not the order of their numbers. So the order is stored with each trial and followed in a replay:
a killed and resumed run goes on as the uninterrupted one would have.
"""

from __future__ import annotations

import itertools
import random
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from search.api.domain import Point, Vector, sample_point
from search.api.searching import Problem
from search.api.trial import Trial
from search.searchers.history import History, Member
from search.searchers.moves import settle, stream
from search.searchers.vectors import stratified, stratum_of

PATIENCE = 6
"""Refusals of one trial's proposals after which a random point is proposed instead."""

HORIZON = 200
"""Trials a schedule is made for if the study does not say how many it will run."""


class Learner(ABC):
    """Learns from one trial after another, in the order told; abstract.

    Args:
        problem: what is searched.
    """

    def __init__(self, problem: Problem) -> None:
        self._problem = problem
        self._history = History(problem)
        self._told = 0

    @property
    @abstractmethod
    def name(self) -> str:
        """Name for reports."""

    @abstractmethod
    def _propose(self, number: int, attempt: int, rng: random.Random) -> Point:
        """A point, legal or not, seen or not; changes nothing."""

    @abstractmethod
    def _learn(self, member: Member) -> None:
        """Take an ended trial into the state. It is in the history already."""

    @property
    def _horizon(self) -> int:
        """Number of trials that schedules are made for."""
        return self._problem.trials or HORIZON

    def suggest(self, number: int, attempt: int) -> Point | None:
        """A legal unseen point; random after a few refusals. None once a small space is used up."""
        rng = stream(self._problem.seed, number, attempt, self.name)
        if attempt < PATIENCE:
            point = self._propose(number, attempt, rng)
        else:
            point = self._random(number + 97 * attempt, rng)
        return settle(self._problem, point, self._history.seen, rng)

    def start(self, number: int, point: Point) -> None:
        """Trial ``number`` runs with ``point``."""
        self._history.start(number, point)

    def finish(self, trial: Trial) -> Mapping[str, Any]:
        """Learn from an ended trial (failed and crashed ones teach nothing).

        Returns:
            ``told``: how many trials had been told before, for :meth:`replay`.
        """
        order = self._told
        self._told += 1
        member = self._history.finish(trial)
        if member is not None:
            self._learn(member)
        return {"told": order}

    def replay(self, trials: Sequence[Trial]) -> None:
        """Take over earlier trials, in the order in which they were told."""
        for trial in trials:
            self.start(trial.number, trial.point)
        ended = [t for t in trials if t.status != "running"]
        # Those that a dead driver left have no place yet. The replay that first met them told them
        # last, by number, and counted them; so in later ones they fill the gaps, by number.
        taken = {t.memory["told"] for t in ended if "told" in t.memory}
        gaps = (place for place in itertools.count() if place not in taken)
        places = {t.number: t.memory["told"] if "told" in t.memory else next(gaps) for t in ended}
        for trial in sorted(ended, key=lambda t: (places[t.number], t.number)):
            self.finish(trial)

    def _random(self, number: int, rng: random.Random) -> Point:
        """Scalars uniform; vectors at all densities alike, see :func:`stratified`."""
        point = sample_point(self._problem.params, rng)
        for param in self._problem.params:
            if param.name in point and isinstance(param.domain, Vector):
                point[param.name] = stratified(param.domain, stratum_of(number), rng)
        return point
