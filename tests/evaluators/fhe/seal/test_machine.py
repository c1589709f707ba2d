"""Operations on ciphertexts, polynomials among them."""

import dataclasses
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evaluators.fhe import reference
from evaluators.fhe.counting import linear_counts
from evaluators.fhe.graph import Polynomial
from evaluators.fhe.headroom import coefficients
from evaluators.fhe.levels import Assigned
from evaluators.fhe.packing import pack
from evaluators.fhe.polynomial_plan import plan
from evaluators.fhe.seal import engine
from evaluators.fhe.seal.machine import Machine
from evaluators.fhe.seal.program import Program, Step, write
from spaces.ckks.params import Chain, CkksParams, LayerPacking, Rescaling
from spaces.ckks.primes import primes_of

LOG_N, SCALE = 12, 2.0**35
PRIMES = primes_of(Chain(45, (35,) * 6, (55,)), LOG_N)


@pytest.fixture(scope="module")
def scheme() -> engine.Scheme:
    return engine.Scheme(LOG_N, PRIMES[:-1], PRIMES[-1:])


def run(
    scheme: engine.Scheme,
    step: Step,
    *inputs: np.ndarray,
    rotations: Any = (),
    folder: Path = Path(),  # noqa: B008 - a path never changes
) -> np.ndarray:
    """The result of one step on freshly encrypted inputs, one ciphertext each."""
    program = Program(
        folder, LOG_N, scheme.primes, PRIMES[-1:], "x", step.limbs_in, step.scale_in, (step,),
        rotations, True,
    )  # fmt: skip
    keys = engine.Keys(scheme, rotations, True)
    weights = engine.encode_weights(scheme, program)
    machine = Machine(scheme, program, weights, keys)
    ciphers = [keys.encrypt(x, step.limbs_in, step.scale_in) for x in inputs]
    return keys.decrypt(machine.run(ciphers, engine.Clock())[0])


@pytest.mark.parametrize(
    "polynomial",
    [
        Polynomial((0.1, 0.5, 0.0, -0.2)),
        Polynomial((0.1, 0.5, 0.3, -0.2, 0.05, 0.1, 0.0, 0.02)),
        Polynomial((0.0, 1.2, 0.0, -0.2), gate=True),
        Polynomial((0.0, 0.9, 0.0, -0.1), composite=((0.0, 1.1, 0.0, -0.1),)),
    ],
    ids=["cubic", "degree 7", "gate", "composite"],
)
def test_polynomials_give_what_their_plan_gives_in_the_clear(
    scheme: engine.Scheme, polynomial: Polynomial
) -> None:
    found = plan(polynomial)
    limbs = found.levels + 1
    step = Step(
        "act", "polynomial", ("x",), 1, limbs, 1, SCALE, SCALE,
        plan=found.instructions(limbs, SCALE, scheme.primes, SCALE),
    )  # fmt: skip
    x = np.linspace(-1, 1, 2048)
    assert np.abs(run(scheme, step, x) - found.run_plain(x)).max() < 2**-18


def test_operands_of_a_sum_must_have_one_scale(scheme: engine.Scheme) -> None:
    step = Step("sum", "add", ("x", "x"), 1, 2, 2, SCALE, 2 * SCALE)
    with pytest.raises(engine.EngineError, match="sum: scale 2.35"):
        run(scheme, step, np.ones(2048))
    good = dataclasses.replace(step, scale_out=SCALE)
    assert np.abs(run(scheme, good, np.ones(2048)) - 2).max() < 2**-18


def test_an_unknown_operation_is_said(scheme: engine.Scheme) -> None:
    step = Step("act", "relu", ("x",), 1, 2, 2, SCALE, SCALE)
    with pytest.raises(engine.EngineError, match="act: no operation 'relu'") as error:
        run(scheme, step, np.ones(2048))
    assert error.value.kind == "unsupported"


def test_a_square_may_leave_rescaling_to_what_follows(scheme: engine.Scheme) -> None:
    step = Step("act", "square", ("x",), 1, 3, 3, SCALE, SCALE * SCALE)
    x = np.linspace(-1, 1, 2048)
    assert np.abs(run(scheme, step, x) - x * x).max() < 2**-18


class Spy:
    """The library's evaluator, which writes down what it is asked for and at how many limbs."""

    def __init__(self, evaluator: Any) -> None:
        self._evaluator = evaluator
        self.seen: Counter[tuple[str, int]] = Counter()

    def __getattr__(self, name: str) -> Any:
        called = getattr(self._evaluator, name)

        def call(cipher: Any, *rest: Any) -> Any:
            self.seen[NAMES[name], cipher.coeff_modulus_size()] += 1
            return called(cipher, *rest)

        return call


NAMES = {
    "apply_galois": "rotate", "multiply_plain": "multiply_plain", "add_inplace": "add",
    "rescale_to_next_inplace": "rescale", "add_plain_inplace": "add_plain",
}  # fmt: skip


@pytest.mark.parametrize("rescaling", ["last", "soon"])
def test_linear_maps_take_the_operations_that_are_counted(
    networks: Any, tmp_path: Path, rescaling: Rescaling
) -> None:
    graph = networks.chain((256,), ("fc", 32))
    chain = Chain(45, (35,) * 6, (55,))
    layers = (LayerPacking("fc1", rescaling=rescaling),)
    params = CkksParams(LOG_N, chain, 35, layers=layers)
    packed = pack(graph, params.slots, params)
    linear = packed.linears["fc1"]
    assert linear.folds
    assert linear.giants
    levels = {
        "input": Assigned(5, 5, SCALE, SCALE),
        "fc1": Assigned(5, 4, SCALE, SCALE, float(PRIMES[4])),
    }
    program = write(
        tmp_path, packed, log_n=LOG_N, primes=PRIMES[:-1], special=PRIMES[-1:], levels=levels
    )
    scheme = engine.Scheme(LOG_N, PRIMES[:-1], PRIMES[-1:])
    weights = engine.encode_weights(scheme, program)
    keys = engine.Keys(scheme, program.rotations, False)
    spy = scheme.evaluator = Spy(scheme.evaluator)
    x = np.random.default_rng(0).uniform(-1, 1, 256)
    sent = [keys.encrypt(row, 5, SCALE) for row in packed.encode_input(x)]
    results = Machine(scheme, program, weights, keys).run(sent, engine.Clock())
    expected: Counter[tuple[str, int]] = Counter()
    for count in linear_counts(linear, 5, 4):
        expected[count.operation, count.limbs] += count.count
    assert spy.seen == expected
    found = packed.decode_output(np.stack([keys.decrypt(row) for row in results]))
    assert np.abs(found - reference.run(graph, x[None])[0]).max() < 2**-14


@pytest.mark.parametrize("first", [True, False])
def test_partial_sums_may_wrap_around_if_their_sum_does_not(
    scheme: engine.Scheme, tmp_path: Path, first: bool
) -> None:
    """Sums are exact modulo the primes that are left: what is folded needs no rule of its own."""
    weights = np.repeat([2.0**18, -(2.0**18)], 1024)
    x = np.repeat([1.0, 1.0 - 2.0**-16], 1024)
    largest = np.abs(coefficients(weights * x)).max()
    assert largest * SCALE > 2 * scheme.primes[0]
    assert largest * SCALE * scheme.primes[1] > 2 * float(scheme.primes[0] * scheme.primes[1])
    np.save(tmp_path / "0.terms.npy", np.zeros((1, 4), dtype=np.int64))
    np.save(tmp_path / "0.diagonals.npy", weights[None])
    np.save(tmp_path / "0.bias.npy", np.zeros((1, 2048)))
    scales = SCALE, SCALE, float(scheme.primes[1])
    step = Step("fc", "linear", ("x",), 1, 2, 1, *scales, (1024,), fold_first=first)
    found = run(scheme, step, x, rotations=(1024,), folder=tmp_path)
    assert np.abs(found - 2.0**18 * 2.0**-16).max() < 2**-3
