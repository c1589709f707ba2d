"""Operations on ciphertexts, polynomials among them."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evaluators.fhe.graph import Polynomial
from evaluators.fhe.polynomial_plan import plan
from evaluators.fhe.seal import engine
from evaluators.fhe.seal.machine import Machine
from evaluators.fhe.seal.program import Program, Step
from spaces.ckks.params import Chain
from spaces.ckks.primes import primes_of

LOG_N, SCALE = 12, 2.0**35
PRIMES = primes_of(Chain(45, (35,) * 6, (55,)), LOG_N)


@pytest.fixture(scope="module")
def scheme() -> engine.Scheme:
    return engine.Scheme(LOG_N, PRIMES[:-1], PRIMES[-1:])


def run(scheme: engine.Scheme, step: Step, *inputs: np.ndarray, rotations: Any = ()) -> np.ndarray:
    """The result of one step on freshly encrypted inputs, one ciphertext each."""
    program = Program(
        Path(), LOG_N, scheme.primes, PRIMES[-1:], "x", step.limbs_in, step.scale_in, (step,),
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
