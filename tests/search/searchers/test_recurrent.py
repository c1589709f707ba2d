from __future__ import annotations

import numpy as np
import pytest

from search.searchers.networks import Adam
from search.searchers.recurrent import Decision, RecurrentPolicy

# Three decisions; the second one is skipped in some episodes, as conditional parameters are.
EPISODE = [Decision(0, 3, 2), Decision(3, 2, 0), Decision(5, 4, 1)]
SHORT = [Decision(0, 3, 1), Decision(5, 4, 3)]


@pytest.mark.parametrize("episode", [EPISODE, SHORT], ids=["all", "conditional"])
@pytest.mark.parametrize("context", [np.zeros(0), np.array([0.3, 0.7])], ids=["one", "two goals"])
def test_back_propagation_through_time_agrees_with_finite_differences(
    episode: list[Decision], context: np.ndarray
) -> None:
    policy = RecurrentPolicy(9, len(context), cells=5, embedding=3, seed=0)
    for array in policy.params:
        array += 0.3 * np.sin(np.arange(array.size)).reshape(array.shape)  # no zeros
    gradients = policy.gradients(episode, context, -0.7, 0.2)
    for array, gradient in zip(policy.params, gradients, strict=True):
        for at in np.ndindex(array.shape):
            kept = array[at]
            array[at] = kept + 1e-6
            up = policy.loss(episode, context, -0.7, 0.2)
            array[at] = kept - 1e-6
            down = policy.loss(episode, context, -0.7, 0.2)
            array[at] = kept
            assert gradient[at] == pytest.approx((up - down) / 2e-6, abs=1e-7)


def test_a_rewarded_episode_becomes_likely_and_a_punished_one_unlikely() -> None:
    none = np.zeros(0)
    for advantage, low, high in ((1.0, 0.95, 1.0), (-1.0, 0.0, 0.01)):
        policy = RecurrentPolicy(9, 0, 8, 4, seed=1)
        adam = Adam(policy.params, 0.05)
        for _ in range(40):
            adam.step(policy.gradients(EPISODE, none, advantage, 0.0))
        likelihood = float(np.exp(-policy.loss(EPISODE, none, 1.0, 0.0)))
        assert low <= likelihood <= high


def test_later_choices_may_depend_on_earlier_ones() -> None:
    policy, none = RecurrentPolicy(4, 0, 8, 4, seed=2), np.zeros(0)
    adam = Adam(policy.params, 0.05)
    for i in range(200):
        same = [Decision(0, 2, i % 2), Decision(2, 2, i % 2)]
        adam.step(policy.gradients(same, none, 1.0, 0.0))
    for first in (0, 1):
        memory = policy.read(policy.read(policy.begin(), -1, none), first, none)
        assert policy.probabilities(memory, 2, 2)[first] > 0.9


def test_probabilities_start_nearly_even_and_sum_to_one() -> None:
    policy = RecurrentPolicy(9, 0, 32, 20, seed=3)
    p = policy.probabilities(policy.read(policy.begin(), -1, np.zeros(0)), 5, 4)
    assert p.sum() == pytest.approx(1.0)
    assert p == pytest.approx(0.25, abs=0.05)


def test_entropy_keeps_a_policy_open() -> None:
    likelihoods = []
    for entropy in (0.0, 1.0):
        policy = RecurrentPolicy(9, 0, 8, 4, seed=1)
        adam = Adam(policy.params, 0.05)
        for _ in range(40):
            adam.step(policy.gradients(SHORT, np.zeros(0), 0.5, entropy))
        likelihoods.append(np.exp(-policy.loss(SHORT, np.zeros(0), 1.0, 0.0)))
    assert likelihoods[1] < 0.8 * likelihoods[0]
