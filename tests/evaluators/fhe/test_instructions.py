import numpy as np
import pytest

from evaluators.fhe.instructions import Program, counted, interpret

PRIMES = (2.0**50, 2.0**30, 2.0**31, 2.0**32)


def begun() -> tuple[Program, int]:
    program = Program(PRIMES)
    return program, program.input(4, 2.0**30)


def test_product_is_finished_by_two_operations() -> None:
    program, x = begun()
    y = program.finished(program.product(x, x))
    assert [s.operation for s in program.steps] == ["square", "relinearise", "rescale"]
    assert program.limbs[y] == 3
    assert program.scales[y] == 2.0**28


def test_operands_are_brought_to_common_limbs_once() -> None:
    program, x = begun()
    y = program.finished(program.product(x, x))
    program.product(x, y)
    program.product(y, x)
    assert [s.operation for s in program.steps].count("mod_switch") == 1
    assert program.steps[-1].limbs == 3


def test_scaled_reaches_its_scale_exactly() -> None:
    program, x = begun()
    y = program.scaled(x, 0.25, 3, 3.0**40)
    assert program.scales[y] == 3.0**40
    assert program.steps[-1].plain_scale == pytest.approx(3.0**40 / 2.0**30)
    assert program.steps[-1].limbs == 3


def test_sums_of_products_stay_unrelinearised() -> None:
    program, x = begun()
    y = program.sum(program.product(x, x), program.scaled(x, 2.0, 4, 2.0**60))
    assert y in program.size3
    assert program.relinearised(x) == x
    assert program.relinearised(y) not in program.size3


def test_interpreter_computes_what_the_operations_say() -> None:
    program, x = begun()
    square = program.finished(program.product(x, x))
    cube = program.finished(program.product(square, x))
    both = program.sum(cube, program.scaled(x, -2.0, 2, program.scales[cube]))
    program.shifted(both, 0.5)
    values = np.array([[-1.0, 0.5, 2.0]])
    assert np.array_equal(interpret(program.steps, values), values**3 - 2 * values + 0.5)
    assert np.array_equal(interpret([], values), values)


def test_counts_tell_limbs_before_the_operation() -> None:
    program, x = begun()
    program.finished(program.finished(program.product(x, x)))
    assert counted(program.steps) == {
        ("square", 4): 1,
        ("relinearise", 4): 1,
        ("rescale", 4): 1,
        ("rescale", 3): 1,
    }
