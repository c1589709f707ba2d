"""Networks on plain slots."""

from __future__ import annotations

import numpy as np

from evaluators.fhe.packing import pack
from evaluators.fhe.reference import values
from evaluators.fhe.slot_run import run_linear, simulate_slots, slot_values
from spaces.ckks.params import Chain, CkksParams

PARAMS = CkksParams(8, Chain(31, (26,) * 6, (45,)), 26)


def test_every_tensor_stands_in_its_slots(networks) -> None:
    graph = networks.chain((20,), ("fc", 12), ("polynomial", 3), ("fc", 9), ("square",), ("fc", 3))
    packed = pack(graph, 128, PARAMS)
    x = np.random.default_rng(0).uniform(-0.2, 0.2, 20)
    expected = values(graph, x[None, :])
    for name, found in slot_values(packed, x).items():
        layout = packed.layouts[name]
        assert found.shape == (layout.ciphertexts, 128)
        np.testing.assert_allclose(found.reshape(-1)[layout.slots], expected[name][0], atol=1e-9)
    np.testing.assert_allclose(simulate_slots(packed, x), expected["fc5"][0], atol=1e-9)


def test_linear_map_rotates_to_the_left(networks) -> None:
    graph = networks.chain((4,), ("fc", 4))
    linear = pack(graph, 128, PARAMS).linears["fc1"]
    one = run_linear(linear, np.ones((linear.source.ciphertexts, 128)))
    rolled = sum(
        np.roll(linear.diagonal(k), -t.giant) for k, t in enumerate(linear.terms)
    )  # a constant input is what it was after any rotation
    for step in linear.folds:
        rolled = rolled + np.roll(rolled, -step)
    np.testing.assert_allclose(one[0], rolled + linear.bias()[0])
