"""AMC-like DDPG: an actor sets one entry after another, a critic learns what that is worth.

In the spirit of AMC, which prunes layer by layer with one continuous action each and is rewarded
once the whole network is pruned. Here an action in [0, 1] is a place on the scale of an entry's
domain (categories share the interval out); scalars beside the vector are further actions. AMC's
clipping of actions to what the budget still allows is the space's ``repair``: it moves the whole
point, and the networks learn from the point that ran, as AMC's do from the clipped actions.

Source: He et al., AMC: AutoML for Model Compression, ECCV 2018 (DDPG; warm-up at random; noise
    from a truncated normal distribution of sigma 0.5 that decays; moving-average baseline). Its
    300/300 units and 800 episodes suit evaluations of a second; defaults here are for fewer trials.
"""

from __future__ import annotations

import random
from typing import Any

from pydantic import Field

from search.api.domain import Point
from search.api.searching import Problem
from search.searchers.actor_critic import ActorCritic
from search.searchers.episodes import Episodes
from search.searchers.history import Member
from search.searchers.learner import Learner
from search.searchers.moves import stream
from search.searchers.networks import generator
from search.searchers.options import SearcherConfig
from search.searchers.scoring import Scoring, context_of

_LAST_SIGMA = 0.05


class AmcConfig(SearcherConfig):
    """Options of :class:`Amc`."""

    hidden: tuple[int, ...] = Field(
        (64, 64), min_length=1, description="Units of the hidden layers; the paper has 300, 300."
    )
    warmup: int | None = Field(
        None, ge=1, description="Random trials at first; by default a quarter, at most 100."
    )
    sigma: float = Field(0.5, gt=0, description="Standard deviation of the first noise.")
    decay: float | None = Field(
        None,
        gt=0,
        le=1,
        description="Factor of sigma per trial after the warm-up (the paper: 0.99); by default "
        "such that the last trial has 0.05.",
    )
    actor_lr: float = Field(3e-4, gt=0, description="Step size of the actor (the paper: 1e-4).")
    critic_lr: float = Field(3e-3, gt=0, description="Step size of the critic (the paper: 1e-3).")
    updates: int | None = Field(
        None, ge=1, description="Updates per trial; by default one per decision, at most 64."
    )
    batch: int = Field(64, ge=1, description="Steps drawn from the buffer per update.")
    tau: float = Field(0.01, gt=0, le=1, description="How fast the slow copies follow.")
    bootstrap: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Weight of the slow critic in what the critic aims at: 1 is DDPG's, 0 the "
        "trial's reward itself, which short studies learn faster from.",
    )
    pull: float = Field(
        0.01, ge=0, description="How strongly the actor is held back from the ends of its scale."
    )
    baseline: float = Field(
        0.95, ge=0, lt=1, description="Part of the moving average of rewards that a trial keeps."
    )


class Amc(Learner):
    """Actor and critic over the entries of vectors, and over scalars.

    The reward of a feasible trial is 1 minus the rank of its loss among the feasible ones; an
    infeasible or gated trial's is in [-1, -0.1] by the rank of its excess. With several objectives
    actor and critic are given weights drawn for each trial, and the reward is the weighted one of
    :class:`Scoring`: one policy for the whole front.

    Args:
        problem: what is searched.
        config: options; keyword arguments in a notebook.

    Raises:
        ConfigError: an unknown option or a bad value.
    """

    Config = AmcConfig
    name = "amc"

    def __init__(self, problem: Problem, config: AmcConfig | None = None, **options: Any) -> None:
        super().__init__(problem)
        self._config = c = config or AmcConfig.of(options)
        goals = len(problem.goals)
        self._context = goals if goals > 1 else 0
        self._episodes = Episodes(problem, self._context)
        self._warmup = c.warmup or max(4, min(100, self._horizon // 4))
        self._updates = c.updates or min(64, self._episodes.steps)
        seed = stream(problem.seed, 0, 0, "amc/weights").getrandbits(63)
        self._nets = ActorCritic(
            self._episodes.width,
            c.hidden,
            c.actor_lr,
            c.critic_lr,
            c.tau,
            c.bootstrap,
            c.pull,
            generator(seed),
        )
        self._scoring = Scoring(problem, self._history)
        self._average: float | None = None

    @classmethod
    def from_config(cls, config: AmcConfig, problem: Problem) -> Amc:
        """The searcher that a configuration describes."""
        return cls(problem, config)

    @property
    def reason(self) -> str:
        """Why this searcher, one line."""
        several = ", given random weights per trial" if self._context else ""
        units = "/".join(map(str, self._config.hidden))
        return (
            f"DDPG over {self._episodes.steps} decisions, networks of {units} units, "
            f"{self._warmup} random trials first{several}"
        )

    def sigma(self, number: int) -> float:
        """Standard deviation of the noise of trial ``number``, on the scale of an action."""
        c, after = self._config, max(0, number - self._warmup)
        if c.decay is not None:
            return c.sigma * float(c.decay**after)
        share = min(1.0, after / max(1, self._horizon - self._warmup - 1))
        return float(c.sigma * (min(c.sigma, _LAST_SIGMA) / c.sigma) ** share)

    def _propose(self, number: int, attempt: int, rng: random.Random) -> Point:
        if number < self._warmup or not self._history.members:
            return self._random(number + 97 * attempt, rng)
        sigma = self.sigma(number)
        return self._episodes.play(
            lambda state: truncated(self._nets.act(state), sigma, rng),
            context_of(self._problem, number),
        )

    def _learn(self, member: Member) -> None:
        states, actions = self._episodes.read(
            member.point, context_of(self._problem, member.number)
        )
        if not len(actions):
            return
        self._nets.remember(states, actions)
        rewards = self._scoring.rewards()
        keep, new = self._config.baseline, float(rewards[-1])
        self._average = new if self._average is None else keep * self._average + (1 - keep) * new
        climb = 2 * len(self._history.members) > self._warmup
        for _ in range(self._updates):
            self._nets.update(rewards - self._average, self._config.batch, climb=climb)


def truncated(mean: float, sigma: float, rng: random.Random) -> float:
    """A normal number that lies in [0, 1]: drawn again until it does."""
    for _ in range(1000):
        drawn = rng.gauss(mean, sigma)
        if 0.0 <= drawn <= 1.0:
            return drawn
    return min(1.0, max(0.0, mean))
