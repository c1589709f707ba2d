"""Noise drawn at random."""

from __future__ import annotations

import numpy as np
import pytest

from evaluators.fhe import reference
from evaluators.fhe.noise import Variance, variances
from evaluators.fhe.noise_gains import analyse
from evaluators.fhe.noise_simulation import simulate
from evaluators.fhe.packing import pack
from evaluators.fhe.seal_host import block

IMAGES = np.random.default_rng(1).uniform(-1, 1, (2, 256))


def test_draws_agree_with_the_model() -> None:
    graph, params = block()
    packed = pack(graph, params.slots, params)
    sources = variances(graph, params)
    found = simulate(packed, sources, IMAGES, repeats=6, seed=3)
    assert found.shape == (6, 2, 10)
    error = np.sqrt(np.mean(np.square(found - reference.run(graph, IMAGES))))
    deviation = analyse(packed, IMAGES).deviations([sources])[0]
    assert error / np.sqrt(np.mean(deviation**2)) == pytest.approx(1, abs=0.25)
    assert not np.array_equal(found[0], found[1])
    assert np.array_equal(simulate(packed, sources, IMAGES, repeats=6, seed=3), found)


def test_without_noise_it_is_the_network() -> None:
    graph, params = block()
    packed = pack(graph, params.slots, params)
    nothing = dict.fromkeys(variances(graph, params), Variance(0.0))
    found = simulate(packed, nothing, IMAGES)
    assert found[0] == pytest.approx(reference.run(graph, IMAGES), abs=1e-9)
