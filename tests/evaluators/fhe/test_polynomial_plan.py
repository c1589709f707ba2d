import math
from collections import Counter

import numpy as np
import pytest
from numpy.polynomial import chebyshev

from evaluators.fhe.chebyshev import fit
from evaluators.fhe.composite_sign import sign_composite, sign_relu
from evaluators.fhe.failures import BackendFailure
from evaluators.fhe.graph import Polynomial
from evaluators.fhe.polynomial_plan import PolynomialPlan, plan
from search.api.errors import ConfigError

DEGREES = (1, 2, 3, 4, 5, 7, 8, 15, 27, 31, 63, 100, 127)
X = np.linspace(-1, 1, 201)


def series(degree: int, parity: str = "mixed") -> tuple[float, ...]:
    c = np.random.default_rng(degree).normal(size=degree + 1)
    if parity != "mixed":
        c[1 if parity == "even" else 0 :: 2] = 0
    return tuple(c)


def planned(degree: int, parity: str = "mixed") -> PolynomialPlan:
    return plan(Polynomial(series(degree, parity)))


@pytest.mark.parametrize("parity", ["mixed", "even", "odd"])
@pytest.mark.parametrize("degree", DEGREES)
def test_value_is_that_of_the_series(degree: int, parity: str) -> None:
    c = series(degree, parity)
    if any(c[1:]):
        found = plan(Polynomial(c)).run_plain(X)
        assert np.abs(found - chebyshev.chebval(X, c)).max() < 1e-11


@pytest.mark.parametrize("degree", DEGREES)
def test_levels_are_the_least_possible(degree: int) -> None:
    assert planned(degree).levels == math.ceil(math.log2(degree + 1))


def test_levels_of_compositions_and_gates_add_up() -> None:
    first, second = sign_composite((7, 15))
    assert plan(Polynomial(first, composite=(second,))).levels == 7
    assert plan(sign_relu(105)).levels == 8


def test_trailing_zeros_cost_nothing() -> None:
    assert plan(Polynomial((0.1, 0.5, 0.0, 0.0))).levels == 1


@pytest.mark.parametrize("total", [7, 105])
def test_gate_is_relu(total: int) -> None:
    relu = sign_relu(total)
    sign = X
    for stage in (relu.coefficients, *relu.composite):
        sign = chebyshev.chebval(sign, stage)
    assert np.abs(plan(relu).run_plain(X) - X * (1 + sign) / 2).max() < 1e-11


def test_shape_of_the_argument_is_kept() -> None:
    assert planned(7).run_plain(X[:6].reshape(2, 3)).shape == (2, 3)


@pytest.mark.parametrize(
    "polynomial",
    [Polynomial(series(d, p)) for d in (1, 2, 3, 7, 15, 31) for p in ("mixed", "odd") if d != 2]
    + [Polynomial(fit("silu", 27, (-4, 4))), sign_relu(49)],
)
def test_limbs_and_scales_fit_in_every_instruction(polynomial: Polynomial) -> None:
    steps_of = plan(polynomial)
    top = steps_of.levels + 3
    primes = [2.0**60, *(2.0**40 * (1 + 1e-4 * k) for k in range(1, top))]
    target = 1.1 * 2.0**40
    scale_in = 1.05 * 2.0**40
    steps = steps_of.instructions(top, scale_in, primes, target)
    limbs, scales, sizes = {0: top}, {0: scale_in}, {0: 2}
    for step in steps:
        assert step.result not in limbs  # written once
        assert {limbs[r] for r in step.operands} == {step.limbs}
        limbs[step.result] = step.limbs_out
        scale, size = _expected(step, [scales[r] for r in step.operands], primes)
        assert step.scale == pytest.approx(scale, rel=1e-14)
        scales[step.result] = step.scale
        of_operands = [sizes[r] for r in step.operands]
        if step.operation in ("multiply", "square"):
            assert set(of_operands) == {2}
        if step.operation in ("rescale", "mod_switch"):
            assert of_operands == [2]
        sizes[step.result] = size or max(of_operands)
    assert limbs[steps[-1].result] == top - steps_of.levels
    assert scales[steps[-1].result] == pytest.approx(target, rel=1e-14)
    assert sizes[steps[-1].result] == 2


def _expected(step, scales: list[float], primes: list[float]) -> tuple[float, int]:
    operation = step.operation
    same = step.limbs_out == step.limbs
    if operation in ("multiply", "square"):
        assert same
        return math.prod(scales) * (scales[0] if operation == "square" else 1), 3
    if operation == "rescale":
        assert step.limbs_out == step.limbs - 1
        return scales[0] / primes[step.limbs - 1], 2
    if operation == "mod_switch":
        assert step.limbs_out < step.limbs
        return scales[0], 2
    assert same
    if operation == "multiply_scalar":
        assert 2.0**20 < step.plain_scale < 2.0**60
        return scales[0] * step.plain_scale, 0
    if operation == "add_scalar":
        assert step.plain_scale == pytest.approx(scales[0], rel=1e-14)
        return scales[0], 0
    if operation == "add":
        assert scales[0] == pytest.approx(scales[-1], rel=1e-14)
        return scales[0], 0
    assert operation == "relinearise"
    return scales[0], 2


@pytest.mark.parametrize("polynomial", [Polynomial(series(15)), sign_relu(105)])
def test_counts_are_those_of_the_instructions(polynomial: Polynomial) -> None:
    found = plan(polynomial)
    for limbs in (found.levels + 1, found.levels + 4):
        primes = [2.0**50, *[2.0**30] * (limbs - 1)]
        steps = found.instructions(limbs, 2.0**30, primes, 2.0**30)
        wanted = Counter((s.operation, s.limbs) for s in steps)
        assert {(c.operation, c.limbs): c.count for c in found.counts(limbs)} == wanted
        assert all(c.place == "server" for c in found.counts(limbs))


def products(found: PolynomialPlan) -> int:
    counts = found.counts(found.levels + 1)
    return sum(c.count for c in counts if c.operation in ("multiply", "square"))


def test_products_grow_with_the_root_of_the_degree() -> None:
    found = {d: products(planned(d)) for d in (3, 7, 15, 31, 63, 127)}
    assert found[3] <= 2
    assert found[7] <= 5
    assert found[15] <= 10
    assert found[127] <= 30


def test_zeros_of_a_symmetry_save_products() -> None:
    assert products(planned(15, "even")) < products(planned(15))
    assert products(planned(27, "odd")) <= products(planned(27))
    # A linear term beside an even polynomial (relu, silu, gelu) costs no product.
    silu = plan(Polynomial(fit("silu", 15, (-4, 4))))
    assert products(silu) == products(planned(15, "even"))


def test_sums_of_products_share_a_relinearisation() -> None:
    found = planned(15).counts(5)
    count = {op: sum(c.count for c in found if c.operation == op) for op in ("relinearise",)}
    assert count["relinearise"] < products(planned(15))


def test_chain_that_is_too_short_is_refused() -> None:
    found = planned(7)
    words = r"depth: a polynomial of 3 levels needs 4 limbs \(got 3\). Add 1 primes"
    with pytest.raises(BackendFailure, match=words) as caught:
        found.instructions(3, 2.0**40, [2.0**40] * 3, 2.0**40)
    assert caught.value.kind == "depth"
    with pytest.raises(BackendFailure, match=words):
        found.counts(3)


def test_scale_far_from_the_primes_is_refused() -> None:
    # Each squaring doubles the distance: 2^35 becomes 2^30, 2^20, 1.
    found = planned(15)
    primes = [2.0**60, *[2.0**40] * 4]
    found.instructions(5, 2.0**39.5, primes, 2.0**40)
    with pytest.raises(BackendFailure, match="scale of 2\\^35.*primes of about 2\\^40") as caught:
        found.instructions(5, 2.0**35, primes, 2.0**40)
    assert caught.value.kind == "scale_mismatch"
    with pytest.raises(BackendFailure, match="scale of 2\\^45") as caught:
        found.instructions(5, 2.0**45, primes, 2.0**40)
    assert caught.value.kind == "scale_mismatch"


def test_scale_beyond_the_modulus_is_refused() -> None:
    found = planned(3)
    primes = [2.0**40] * 3
    with pytest.raises(BackendFailure, match="needs 8[0-9] bits of modulus.*has 80") as caught:
        found.instructions(3, 2.0**40, primes, 2.0**48)
    assert caught.value.kind == "overflow"


@pytest.mark.parametrize(
    ("coefficients", "words"),
    [((1.0,), "a degree of 1 or more"), ((1.0, 0.0), "a degree of 1"), ((0.0, math.nan), "finite")],
)
def test_impossible_series_are_refused(coefficients: tuple[float, ...], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        plan(Polynomial(coefficients))


@pytest.mark.parametrize("name", ["silu", "relu", "tanh"])
@pytest.mark.parametrize("degree", [3, 7, 15])
def test_encrypted_by_seal(degree: int, name: str) -> None:
    polynomial = Polynomial(fit(name, degree, (-4, 4)))
    _check_encrypted(polynomial, 13 if degree < 15 else 14)


def test_composite_gate_encrypted_by_seal() -> None:
    _check_encrypted(sign_relu(49), 14)


def _check_encrypted(polynomial: Polynomial, log_n: int) -> None:
    seal = pytest.importorskip("tenseal.sealapi")
    found = plan(polynomial)
    top = found.levels + 1
    parms = seal.EncryptionParameters(seal.SCHEME_TYPE.CKKS)
    parms.set_poly_modulus_degree(2**log_n)
    chain = seal.CoeffModulus.Create(2**log_n, [50, *([40] * found.levels), 60])
    parms.set_coeff_modulus(chain)
    # Security is not the point here: the ring is as small as the slots need.
    context = seal.SEALContext(parms, True, seal.SEC_LEVEL_TYPE.NONE)
    primes = [float(p.value()) for p in chain][:-1]
    x = np.random.default_rng(1).uniform(-1, 1, 2 ** (log_n - 1))
    result = _Seal(seal, context).run(found.instructions(top, 2.0**40, primes, 2.0**40), x)
    assert np.abs(result - found.run_plain(x)).max() < 1e-4


class _Seal:
    """The shortest engine that can run instructions."""

    def __init__(self, seal, context) -> None:
        self.seal, self.context = seal, context
        keys = seal.KeyGenerator(context)
        self.relin = seal.RelinKeys()
        keys.create_relin_keys(self.relin)
        self.encoder = seal.CKKSEncoder(context)
        self.evaluator = seal.Evaluator(context)
        self.encryptor = seal.Encryptor(context, keys.secret_key())
        self.decryptor = seal.Decryptor(context, keys.secret_key())
        self.ids, level = {}, context.first_context_data()
        while level is not None:
            self.ids[level.chain_index() + 1] = level.parms_id()
            level = level.next_context_data()

    def run(self, steps, x: np.ndarray) -> np.ndarray:
        plain, first = self.seal.Plaintext(), self.seal.Ciphertext()
        self.encoder.encode(x.tolist(), 2.0**40, plain)
        self.encryptor.encrypt_symmetric(plain, first)
        registers = {0: first}
        for step in steps:
            result = self.seal.Ciphertext()
            self.apply(step, [registers[r] for r in step.operands], result)
            assert result.scale == pytest.approx(step.scale, rel=1e-12)
            result.scale = step.scale
            registers[step.result] = result
        answer = self.seal.Plaintext()
        self.decryptor.decrypt(registers[steps[-1].result], answer)
        return np.array(self.encoder.decode_double(answer))

    def apply(self, step, operands, result) -> None:
        run = self.evaluator
        if step.operation in ("multiply_scalar", "add_scalar"):
            plain = self.seal.Plaintext()
            self.encoder.encode(step.value, self.ids[step.limbs], step.plain_scale, plain)
            call = run.multiply_plain if step.operation == "multiply_scalar" else run.add_plain
            call(operands[0], plain, result)
        elif step.operation == "relinearise":
            run.relinearize(operands[0], self.relin, result)
        elif step.operation == "rescale":
            run.rescale_to_next(operands[0], result)
        elif step.operation == "mod_switch":
            run.mod_switch_to(operands[0], self.ids[step.limbs_out], result)
        else:
            {"square": run.square, "multiply": run.multiply, "add": run.add}[step.operation](
                *operands, result
            )
