"""Deep deterministic policy gradient in numpy, for episodes that are rewarded at their end.

The actor maps a state to an action in [0, 1], the critic a state and an action to the reward
expected. The critic learns from a replay buffer of all episodes; the actor climbs the critic.

Source: Lillicrap et al., Continuous Control with Deep Reinforcement Learning, ICLR 2016.
"""

from __future__ import annotations

import numpy as np

from search.searchers.networks import Adam, Floats, Mlp, joined


class ActorCritic:
    """The two networks, their slow copies, and the buffer.

    The value aimed at for a step is a mix of the episode's reward, which with a discount of 1 is
    what every step of it returns, and of the slow critic's value of the next state.

    Args:
        width: length of a state.
        hidden: widths of the hidden layers.
        actor_lr: step size of the actor's Adam.
        critic_lr: step size of the critic's Adam.
        tau: share by which the slow copies follow at each update.
        bootstrap: weight of the slow critic's value; 0 takes the episode's reward alone.
        pull: weight of the squares of what the actor puts into its sigmoid. Without it early
            guesses of the critic drive actions to 0 or 1, where the sigmoid is too flat to return.
        rng: for weights and batches.
    """

    def __init__(
        self,
        width: int,
        hidden: tuple[int, ...],
        actor_lr: float,
        critic_lr: float,
        tau: float,
        bootstrap: float,
        pull: float,
        rng: np.random.Generator,
    ) -> None:
        self._rng, self._tau, self._bootstrap, self._pull = rng, tau, bootstrap, pull
        self._actor, self._slow_actor = (Mlp((width, *hidden, 1), rng) for _ in range(2))
        self._critic, self._slow_critic = (Mlp((width + 1, *hidden, 1), rng) for _ in range(2))
        self._actor_adam = Adam([self._actor.flat], actor_lr)
        self._critic_adam = Adam([self._critic.flat], critic_lr)
        self._follow(1.0)
        self._states = np.zeros((0, width))
        self._actions = np.zeros((0, 1))
        self._episodes = np.zeros(0, dtype=np.int64)
        self._last = np.zeros(0, dtype=bool)

    def act(self, state: Floats) -> float:
        """The actor's action for one state of shape ``[width]``."""
        return float(_sigmoid(self._actor.forward(state[None])[-1])[0, 0])

    def value(self, states: Floats, actions: Floats) -> Floats:
        """What the critic expects, shape ``[n]``.

        Args:
            states: shape ``[n, width]``.
            actions: shape ``[n]``.
        """
        return self._critic.forward(np.hstack([states, actions[:, None]]))[-1][:, 0]

    def remember(self, states: Floats, actions: Floats) -> None:
        """Put an episode into the buffer: shapes ``[steps, width]`` and ``[steps]``."""
        episode = int(self._episodes[-1]) + 1 if len(self._episodes) else 0
        last = np.arange(len(actions)) == len(actions) - 1
        self._states = np.concatenate([self._states, states])
        self._actions = np.concatenate([self._actions, actions[:, None]])
        self._episodes = np.concatenate([self._episodes, np.full(len(actions), episode)])
        self._last = np.concatenate([self._last, last])

    def update(self, rewards: Floats, batch: int, *, climb: bool) -> None:
        """One step of the critic and of the actor on a batch drawn from the buffer.

        Args:
            rewards: of every episode remembered, shape ``[episodes]``, less any baseline.
            batch: number of steps drawn.
            climb: whether the actor learns too; not while the critic knows little.
        """
        chosen = (self._rng.random(batch) * len(self._actions)).astype(np.int64)
        states, actions = self._states[chosen], self._actions[chosen]
        layers = self._critic.forward(np.hstack([states, actions]))
        wrong = layers[-1] - self._aims(chosen, rewards)[:, None]
        self._critic_adam.step(joined(self._critic.backward(layers, 2.0 * wrong / batch)[0]))
        if climb:
            self._actor_adam.step(joined(self.climb_gradients(states)))
        if self._bootstrap > 0.0:
            self._follow(self._tau)

    def climb_gradients(self, states: Floats) -> list[Floats]:
        """Gradient of what the actor makes smaller, by its arrays: minus the critic's mean value of
        its actions, plus the pull to the middle.

        Args:
            states: shape ``[n, width]``.
        """
        acted = self._actor.forward(states)
        actions = _sigmoid(acted[-1])
        judged = self._critic.forward(np.hstack([states, actions]))
        down = np.full((len(states), 1), -1.0 / len(states))
        slope = self._critic.backward(judged, down)[1][:, -1:]
        slope = slope * actions * (1.0 - actions) + 2.0 * self._pull * acted[-1] / len(states)
        return self._actor.backward(acted, slope)[0]

    def _aims(self, chosen: np.ndarray[tuple[int], np.dtype[np.int64]], rewards: Floats) -> Floats:
        final = rewards[self._episodes[chosen]]
        if self._bootstrap == 0.0:
            return np.asarray(final, dtype=np.float64)
        following = self._states[np.minimum(chosen + 1, len(self._states) - 1)]
        actions = _sigmoid(self._slow_actor.forward(following)[-1])
        value = self._slow_critic.forward(np.hstack([following, actions]))[-1][:, 0]
        mixed = self._bootstrap * value + (1.0 - self._bootstrap) * final
        return np.asarray(np.where(self._last[chosen], final, mixed), dtype=np.float64)

    def _follow(self, share: float) -> None:
        self._slow_actor.flat += share * (self._actor.flat - self._slow_actor.flat)
        self._slow_critic.flat += share * (self._critic.flat - self._slow_critic.flat)


def _sigmoid(x: Floats) -> Floats:
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * x)), dtype=np.float64)
