from __future__ import annotations

import numpy as np
import pytest

from search.searchers.actor_critic import ActorCritic
from search.searchers.networks import Floats, generator, uniform


def make(pull: float = 0.0, bootstrap: float = 0.0, lr: float = 1e-3) -> ActorCritic:
    return ActorCritic(4, (16, 16), lr, 1e-2, 0.05, bootstrap, pull, generator(0))


def test_the_actors_gradient_goes_through_the_critic() -> None:
    nets, states = make(pull=0.3), uniform(generator(1), (5, 4), 1.0)
    for array in [*nets._actor.params, *nets._critic.params]:
        array += 0.2 * np.sin(1.0 + np.arange(array.size)).reshape(array.shape)

    def loss() -> float:
        raw = nets._actor.forward(states)[-1][:, 0]
        actions = np.array([nets.act(state) for state in states])
        return float(0.3 * (raw**2).mean() - nets.value(states, actions).mean())

    for array, gradient in zip(nets._actor.params, nets.climb_gradients(states), strict=True):
        for at in np.ndindex(array.shape):
            kept = array[at]
            array[at] = kept + 1e-6
            up = loss()
            array[at] = kept - 1e-6
            down = loss()
            array[at] = kept
            assert gradient[at] == pytest.approx((up - down) / 2e-6, abs=1e-6)


@pytest.mark.parametrize("bootstrap", [0.0, 0.5])
def test_actions_that_were_rewarded_are_learnt_step_by_step(bootstrap: float) -> None:
    """Four decisions, of which each has its own best action."""
    wanted, nets = np.array([0.2, 0.8, 0.5, 0.7]), make(0.003, bootstrap)
    rng, states = generator(2), np.eye(4)
    rewards: list[float] = []
    for _ in range(60):
        actions: Floats = rng.random(4)
        nets.remember(states, actions)
        rewards.append(1.0 - 2.0 * float(np.abs(actions - wanted).mean()))
    for _ in range(800):
        nets.update(np.array(rewards), 32, climb=True)
    found = np.array([nets.act(state) for state in states])
    assert np.abs(found - wanted).mean() < 0.2  # random actions: 0.33


def test_a_critic_that_may_not_be_climbed_leaves_the_actor_alone() -> None:
    nets = make()
    nets.remember(np.eye(4), np.full(4, 0.9))
    before = nets.act(np.eye(4)[0])
    for _ in range(20):
        nets.update(np.array([1.0]), 8, climb=False)
    assert nets.act(np.eye(4)[0]) == before
    assert nets.value(np.eye(4), np.full(4, 0.9)).mean() > 0.1


def test_the_pull_keeps_actions_off_the_ends() -> None:
    ends = []
    for pull in (0.0, 0.05):
        nets, rng = make(pull=pull, lr=1e-2), generator(3)
        rewards = []
        for _ in range(30):
            actions = rng.random(4)
            nets.remember(np.eye(4), actions)
            rewards.append(float(actions.mean()))  # the more the better
        for _ in range(400):
            nets.update(np.array(rewards), 32, climb=True)
        ends.append(min(nets.act(state) for state in np.eye(4)))
    assert ends[0] > 0.97
    assert 0.5 < ends[1] < 0.97
