"""Networks whose squares are not rescaled, encrypted for real: answers, operations."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from evaluators.fhe import reference
from evaluators.fhe.costs import shipped_times
from evaluators.fhe.levels import assign
from evaluators.fhe.packing import pack
from evaluators.fhe.precision import compare
from evaluators.fhe.prediction import modelled_bits, predicted_latency
from evaluators.fhe.seal.run import run_encrypted
from spaces.ckks.params import Chain, CkksParams

EACH = CkksParams(13, Chain(33, (26,) * 5, (48,)), 26)
PAIRED = CkksParams(13, Chain(33, (50, 50, 26), (53,)), 26, drops="paired")


@pytest.fixture(scope="module")
def graph(networks: Any) -> Any:
    return networks.chain((64,), ("fc", 32), ("square",), ("fc", 32), ("square",), ("fc", 10))


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return np.random.default_rng(2).uniform(-1, 1, (4, 64))


@pytest.fixture(scope="module")
def found(graph: Any, images: np.ndarray) -> dict[str, Any]:
    """Runs, and what was predicted of them."""
    made = {}
    for params in (EACH, PAIRED, WEAK):
        packed = pack(graph, params.slots, params)
        run = run_encrypted(packed, params, images, repeats=1)
        outputs = np.array([i.output for i in run.inferences])
        bits = compare(outputs, reference.run(graph, images)[[i.image for i in run.inferences]])
        expected = modelled_bits(packed, [params], images)[0]
        made[params.drops + str(params.scale)] = (run, bits.mean, expected.mean, packed)
    return made


WEAK = dataclasses.replace(PAIRED, chain=Chain(36, (49, 49, 29), (53,)), scale=29)


def test_answers_are_as_precise_as_predicted(found: dict[str, Any]) -> None:
    for name, (_, measured, expected, _) in found.items():
        assert abs(measured - expected) < 1.0, name
    assert found["paired26"][1] > found["each26"][1] - 1.0
    # Three bits more of scale, but weights of four bits less, which cost all of the gain.
    assert found["paired29"][1] < found["paired26"][1] + 1.0


def test_pairs_are_told_to_take_less_time(found: dict[str, Any]) -> None:
    each, paired = (
        predicted_latency(found[name][3], params, shipped_times()).total
        for name, params in (("each26", EACH), ("paired26", PAIRED))
    )
    assert each > 1.2 * paired


def test_residual_networks_mix_both(networks: Any) -> None:
    """A square that an addition reads, too, is rescaled at once; branches meet at one scale."""
    graph = networks.residual(size=4, widths=(1, 2))
    scale, pair = 30, 58
    levels = (pair, pair, pair, pair, scale, scale, scale)
    params = CkksParams(12, Chain(40, levels, (60,)), scale, drops="paired")
    found = assign(graph, params)
    assert [found[n].limbs_in - found[n].limbs_out for n in ("act0", "act1", "act2")] == [1, 0, 0]
    packed = pack(graph, params.slots, params)
    x = np.random.default_rng(5).uniform(-0.3, 0.3, (1, 48))
    run = run_encrypted(packed, params, x, repeats=1)
    assert np.abs(run.inferences[0].output - reference.run(graph, x)[0]).max() < 2**-9
