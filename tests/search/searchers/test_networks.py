from __future__ import annotations

import numpy as np
import pytest

from search.searchers.networks import Adam, Mlp, generator, joined, uniform


def test_gradients_of_a_network_are_those_of_finite_differences() -> None:
    rng = generator(0)
    net = Mlp((5, 7, 6, 2), rng)
    inputs, target = uniform(rng, (4, 5), 1.0), uniform(rng, (4, 2), 1.0)

    def loss() -> float:
        return float(((net.forward(inputs)[-1] - target) ** 2).sum())

    layers = net.forward(inputs)
    gradients, by_input = net.backward(layers, 2.0 * (layers[-1] - target))
    for array, gradient in zip([*net.params, inputs], [*gradients, by_input], strict=True):
        for at in np.ndindex(array.shape):
            kept = array[at]
            array[at] = kept + 1e-6
            up = loss()
            array[at] = kept - 1e-6
            down = loss()
            array[at] = kept
            assert gradient[at] == pytest.approx((up - down) / 2e-6, abs=1e-5)


def test_adam_takes_steps_of_its_size_and_fits_a_line() -> None:
    params = [np.array([1.0, -2.0])]
    Adam(params, 0.1).step([np.array([3.0, -0.01])])
    assert params[0] == pytest.approx([0.9, -1.9], abs=1e-4)  # the first step is lr * sign
    rng = generator(1)
    net, inputs = Mlp((2, 16, 1), rng), uniform(rng, (64, 2), 1.0)
    target = inputs @ np.array([[1.0], [-2.0]]) + 0.5
    adam = Adam([net.flat], 0.01)  # the layers are views of it
    for _ in range(400):
        layers = net.forward(inputs)
        adam.step(joined(net.backward(layers, 2.0 * (layers[-1] - target) / 64)[0]))
    assert float(((net.forward(inputs)[-1] - target) ** 2).mean()) < 0.01


def test_equal_seeds_give_equal_weights() -> None:
    first, second, other = (Mlp((3, 4, 1), generator(s)).params for s in (1, 1, 2))
    assert all((a == b).all() for a, b in zip(first, second, strict=True))
    assert (first[0] != other[0]).any()
    assert abs(uniform(generator(3), (1000,), 0.2)).max() <= 0.2
