"""REINFORCE: a recurrent policy chooses value after value and is told what its choices were worth.

The controller of searches that co-design networks and their execution on devices: an LSTM decides
parameter by parameter, vectors entry by entry, among discretised options. After each trial the
policy makes the choices that ran more likely if they beat the moving average, and less if not.
Choices are those of the point that ran: after repair, or after a neighbour replaced a repeat.

Source: Williams, Simple Statistical Gradient-Following Algorithms for Connectionist Reinforcement
    Learning, Machine Learning 8, 1992. Numbers of the intermittent-aware NAS controller (32 cells,
    embedding 20, exploration 0.1, entropy 1e-3, moving average 0.8). Its reward for a design that
    is too slow is clipped at -0.1 however slow it is; here it is graded from -0.1 to -1.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import numpy as np
from pydantic import Field

from search.api.domain import Point, Scalar
from search.api.searching import Problem
from search.searchers.history import Member
from search.searchers.learner import Learner
from search.searchers.moves import stream
from search.searchers.networks import Adam
from search.searchers.options import SearcherConfig
from search.searchers.recurrent import Decision, RecurrentPolicy
from search.searchers.scoring import Scoring, context_of
from search.searchers.slots import Slot, Slots, nearest, options_of


class ReinforceConfig(SearcherConfig):
    """Options of :class:`Reinforce`."""

    bins: int = Field(
        8, ge=2, description="Values that a real, or an integer with more, is discretised to."
    )
    cells: int = Field(32, ge=1, description="Width of the LSTM.")
    embedding: int = Field(20, ge=1, description="Width of the embedding of a choice.")
    lr: float | None = Field(
        None,
        gt=0,
        description="Step size of Adam, one step a trial; by default 0.03, or 0.01 with several "
        "objectives, for which the policy must stay open for longer.",
    )
    exploration: float = Field(
        0.1, ge=0, le=1, description="Share of the choices made at random instead."
    )
    entropy: float = Field(1e-3, ge=0, description="Weight of the policy's entropy.")
    baseline: float = Field(
        0.8, ge=0, lt=1, description="Part of the moving average of rewards that a trial keeps."
    )


class Reinforce(Learner):
    """Policy-gradient search over discretised options.

    The reward of a feasible trial is 1 minus the rank of its loss among the feasible ones, less
    the moving average of such rewards; an infeasible or gated one's is in [-1, -0.1] by the rank of
    its excess. With several objectives the policy is given weights drawn for each trial, and
    its reward is the weighted one of :class:`Scoring`: one policy for the whole front.

    Args:
        problem: what is searched.
        config: options; keyword arguments in a notebook.

    Raises:
        ConfigError: an unknown option or a bad value.
    """

    Config = ReinforceConfig
    name = "reinforce"

    def __init__(
        self, problem: Problem, config: ReinforceConfig | None = None, **options: Any
    ) -> None:
        super().__init__(problem)
        self._config = c = config or ReinforceConfig.of(options)
        self._slots = Slots(problem.params)
        self._options = [options_of(slot.domain, c.bins) for slot in self._slots.all]
        ends = np.cumsum([0, *(len(o) for o in self._options)])
        self._first = [int(end) for end in ends]
        goals = len(problem.goals)
        self._context = goals if goals > 1 else 0
        seed = stream(problem.seed, 0, 0, "reinforce/weights").getrandbits(63)
        self._policy = RecurrentPolicy(self._first[-1], self._context, c.cells, c.embedding, seed)
        self._adam = Adam(self._policy.params, c.lr or (0.01 if self._context else 0.03))
        self._scoring = Scoring(problem, self._history)
        self._average: float | None = None

    @classmethod
    def from_config(cls, config: ReinforceConfig, problem: Problem) -> Reinforce:
        """The searcher that a configuration describes."""
        return cls(problem, config)

    @property
    def reason(self) -> str:
        """Why this searcher, one line."""
        several = ", given random weights per trial" if self._context else ""
        return (
            f"an LSTM policy of {len(self._slots.all)} decisions and {self._first[-1]} options, "
            f"policy gradient with a moving-average baseline{several}"
        )

    def _propose(self, number: int, attempt: int, rng: random.Random) -> Point:
        policy, context = self._policy, context_of(self._problem, number)
        memory, last = policy.begin(), -1

        def choose(slot: Slot) -> Scalar:
            nonlocal memory, last
            options, first = self._options[slot.index], self._first[slot.index]
            memory = policy.read(memory, last, context)
            p = policy.probabilities(memory, first, len(options))
            at = int(np.searchsorted(np.cumsum(p), rng.random()))
            if rng.random() < self._config.exploration:
                at = rng.randrange(len(options))
            at = min(at, len(options) - 1)
            last = first + at
            return options[at]

        return self._slots.build(choose)

    def _learn(self, member: Member) -> None:
        advantage = reward = float(self._scoring.rewards()[-1])
        if member.feasible:
            average = reward if self._average is None else self._average
            advantage = reward - average
            keep = self._config.baseline
            self._average = keep * average + (1.0 - keep) * reward
        context = context_of(self._problem, member.number)
        episode = list(self._decisions(member.point))
        entropy = self._config.entropy
        self._adam.step(self._policy.gradients(episode, context, advantage, entropy))

    def _decisions(self, point: Point) -> Iterator[Decision]:
        for slot, value in self._slots.read(point):
            options = self._options[slot.index]
            chosen = nearest(slot.domain, options, value)
            yield Decision(self._first[slot.index], len(options), chosen)
