import numpy as np
import pytest
from numpy.polynomial import chebyshev

from evaluators.fhe.instructions import Program, interpret
from evaluators.fhe.polynomial_split import splits
from evaluators.fhe.polynomial_stage import evaluate


@pytest.mark.parametrize("degree", [1, 2, 5, 9, 15])
def test_every_split_gives_the_same_value_level_and_scale(degree: int) -> None:
    series = tuple(np.random.default_rng(degree).normal(size=degree + 1))
    x = np.linspace(-1, 1, 33)
    for split in splits(series):
        top = split.levels + 1
        program = Program([2.0**45, *([1.01 * 2.0**30] * split.levels)])
        result = evaluate(program, program.input(top, 2.0**30), split, 2.0**31)
        assert program.limbs[result] == 1
        assert program.scales[result] == pytest.approx(2.0**31, rel=1e-14)
        assert np.allclose(interpret(program.steps, x), chebyshev.chebval(x, series), atol=1e-12)


def test_baby_steps_have_their_least_depth() -> None:
    # T_3 = 2 T_1 T_2 - T_1 is two levels deep, so that a sum with it needs three.
    split = next(s for s in splits((0, 0, 0, 2, 1, 1)) if s.baby == 4 and s.giant == 4)
    program = Program([2.0**40] * 4)
    evaluate(program, program.input(4, 2.0**30), split, 2.0**30)
    assert min(s.limbs for s in program.steps if s.operation == "multiply_scalar") == 2
