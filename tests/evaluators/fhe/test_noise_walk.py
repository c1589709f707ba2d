"""Single steps of the walk: forwards as an engine, backwards as the transpose."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from evaluators.fhe.graph import Node, Polynomial
from evaluators.fhe.instructions import interpret
from evaluators.fhe.noise import Source, nominal_instructions
from evaluators.fhe.noise_walk import (
    backward_linear,
    backward_program,
    forward_linear,
    forward_program,
    positions,
    spread,
    sums,
    unrepeated,
)
from evaluators.fhe.packing import pack
from evaluators.fhe.seal_host import block
from evaluators.fhe.slot_run import run_linear
from spaces.ckks.params import CkksParams, LayerPacking, Rescaling


def with_rescaling(params: CkksParams, rescaling: Rescaling) -> CkksParams:
    """The configuration with that choice for all layers of the block."""
    layers = tuple(LayerPacking(f"fc{i}", rescaling=rescaling) for i in range(3))
    return replace(params, layers=layers)


@pytest.mark.parametrize("rescaling", ["last", "soon"])
def test_linear_maps_forwards_and_backwards_are_transposed(rescaling: Rescaling) -> None:
    graph, params = block()
    params = with_rescaling(params, rescaling)
    network = pack(graph, params.slots, params)
    random = np.random.default_rng(0)
    for linear in network.linears.values():
        x = random.normal(size=(1, linear.source.ciphertexts, network.slots))
        grad = random.normal(size=(1, linear.result.ciphertexts, network.slots))
        y = forward_linear(linear, x)
        assert y[0] == pytest.approx(run_linear(linear, x[0]))
        seen: list[Source] = []
        back = backward_linear(linear, x, grad, lambda source, *_, to=seen: to.append(source))
        assert np.sum((y - linear.bias()) * grad) == pytest.approx(np.sum(x * back))
        assert seen.count(Source(linear.name, "rescale")) == (
            len(sums(linear)) if linear.early else linear.result.ciphertexts
        )
        assert linear.fold_first == (rescaling == "last")
        part = "first fold" if linear.fold_first else "fold"
        assert seen.count(Source(linear.name, part)) == len(linear.folds)
        assert seen.count(Source(linear.name, "baby")) == len(linear.babies)


@pytest.mark.parametrize("gate", [False, True])
def test_programs_forwards_and_backwards(gate: bool) -> None:
    polynomial = Polynomial((0.1, 0.4, 0.0, -0.2, 0.05, 0.1, 0.0, 0.02), gate=gate)
    steps = nominal_instructions(Node("p", "polynomial", ("x",), (4,), polynomial=polynomial))
    x = np.linspace(-0.9, 0.9, 8).reshape(1, 1, 8)
    registers = forward_program("p", steps, x)
    assert registers[steps[-1].result] == pytest.approx(interpret(steps, x))
    seen: list[str] = []
    back = backward_program(
        "p", steps, registers, np.ones_like(x), lambda source, *_: seen.append(source.part)
    )
    step = 1e-6
    slope = (interpret(steps, x + step) - interpret(steps, x - step)) / (2 * step)
    assert back == pytest.approx(slope, abs=1e-6)
    assert any(part.startswith("relinearise") for part in seen)
    assert len(seen) == len(set(seen))


def test_partial_sums_double_what_rescaling_leaves_unless_it_comes_last() -> None:
    graph, params = block()
    random = np.random.default_rng(0)

    def add(source: Source, values: np.ndarray) -> np.ndarray:
        if source.part != "rescale":
            return values
        return values + random.standard_normal(values.shape)

    variance = {}
    for rescaling in ("last", "soon"):
        found = pack(graph, params.slots, with_rescaling(params, rescaling)).linears["fc1"]
        linear = replace(found, early=False)
        x = np.zeros((1, linear.source.ciphertexts, params.slots))
        variance[rescaling] = forward_linear(linear, x, add).var() - linear.bias().var()
    folds = len(linear.folds)
    assert folds
    assert variance["last"] == pytest.approx(1, rel=0.2)
    assert variance["soon"] == pytest.approx(2**folds, rel=0.5)


def test_noise_of_weights_meets_the_energy_of_values() -> None:
    graph, params = block()
    linear = pack(graph, params.slots, params).linears["fc0"]
    x = np.full((1, linear.source.ciphertexts, params.slots), 3.0)

    def add(source: Source, values: np.ndarray) -> np.ndarray:
        return values + 1.0 if source.part == "weights" else values

    more = forward_linear(linear, x, add) - forward_linear(linear, x)
    assert more.min() > 3.0


def test_spread_and_positions() -> None:
    assert spread(np.array([[1.0], [2.0]]), np.zeros((4, 1)))[:, 0].tolist() == [1, 1, 2, 2]
    graph, params = block()
    places = list(positions(pack(graph, params.slots, params)))
    assert len(set(places)) == 10
    assert all(0 <= slot < params.slots for _, slot in places)


def test_a_repeated_diagonal_is_rounded_in_fewer_coefficients() -> None:
    """Against the library's own encoder."""
    from evaluators.fhe.seal.engine import Scheme
    from spaces.ckks.params import Chain
    from spaces.ckks.primes import primes_of

    primes = primes_of(Chain(40, (30,), (50,)), 12)
    scheme = Scheme(12, primes[:-1], primes[-1:])
    random, scale = np.random.default_rng(0), 2.0**20
    for period, share in ((2048, 1.0), (256, 1 / 8)):
        diagonal = np.tile(random.normal(size=period), 2048 // period)
        assert unrepeated(diagonal) == share
        found = np.array(scheme.encoder.decode_double(scheme.encode(diagonal, 2, scale)))
        variance = 4096 / 12 / scale**2 * share  # all of it in real parts
        assert float(np.mean((found - diagonal) ** 2)) == pytest.approx(variance, rel=0.25)
    assert unrepeated(np.zeros(8)) == 1 / 8
    assert unrepeated(np.array([1.0, 1.0, 1.0, 2.0])) == 1.0
