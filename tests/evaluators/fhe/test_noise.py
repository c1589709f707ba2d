"""Noise of single operations: the formulas against SEAL itself."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from evaluators.fhe.noise import LATTIGO, SEAL, Physics, Source, bias_profile, variances
from evaluators.fhe.seal_host import block
from spaces.ckks.params import Chain, CkksParams


def physics(params: CkksParams) -> Physics:
    data = (params.chain.first, *params.chain.levels)
    return Physics(params, tuple(2.0**b for b in data), SEAL)


def log2_deviation(variance: float, scale: int) -> float:
    return math.log2(math.sqrt(variance)) + scale


@pytest.mark.parametrize(("log_n", "rescaled", "rotated"), [(13, 10.4, 12.5), (14, 11.4, 13.7)])
def test_known_deviations_of_seal(log_n: int, rescaled: float, rotated: float) -> None:
    """log2 of the scaled deviation of slots, as measured once through seal-python, P = q0."""
    params = CkksParams(log_n, Chain(40, (40, 40), (40,)), 30)
    model = physics(params)
    assert log2_deviation(model.rescaled(2.0**30).white, 30) == pytest.approx(rescaled, abs=0.1)
    found = log2_deviation(model.switched(3, 2.0**30).white, 30)
    assert found == pytest.approx(rotated, abs=0.9)


def test_rotations_and_rescaling_match_seal_slot_by_slot() -> None:
    """Fresh, rescaled and rotated ciphertexts under several keys; P = q0 shows the bias."""
    engine = pytest.importorskip("evaluators.fhe.seal.engine")
    from spaces.ckks.primes import primes_of

    params = CkksParams(12, Chain(31, (26, 26), (31,)), 26)
    primes, scale, random = primes_of(params.chain, 12), 2.0**26, np.random.default_rng(0)
    scheme = engine.Scheme(12, primes[:3], primes[3:])
    x = random.uniform(-1, 1, params.slots)
    fresh, rotated, rescaled = [], [], []
    for _ in range(12):
        keys = engine.Keys(scheme, [5], False)
        cipher = keys.encrypt(x, 3, scale)
        fresh.append(keys.decrypt(cipher) - x)
        turned = engine.sealapi.Ciphertext()
        element = engine.galois_element(5, scheme.n)
        scheme.evaluator.apply_galois(cipher, element, keys.galois, turned)
        rotated.append(keys.decrypt(turned) - np.roll(x, -5))
        one = scheme.encode(np.ones(params.slots), 3, scale)  # not the prime: that divides exactly
        scheme.evaluator.multiply_plain_inplace(cipher, one)
        scheme.evaluator.rescale_to_next_inplace(cipher)
        rescaled.append(keys.decrypt(cipher) - x)
    model = physics(params)
    switched = model.switched(3, scale)
    expected = np.sqrt(switched.white + switched.biased * bias_profile(params.slots))
    for errors, deviation in (
        (fresh, math.sqrt(model.fresh(scale).white)),
        (rescaled, math.sqrt(model.rescaled(scale).white)),
        (np.array(rotated)[:, 100:], float(np.sqrt(np.mean(expected[100:] ** 2)))),
    ):
        assert np.log2(np.std(errors) / deviation) == pytest.approx(0, abs=0.1)
    first = np.sqrt(np.mean(np.array(rotated)[:, :4] ** 2, axis=0))
    assert np.log2(first / expected[:4]) == pytest.approx(np.zeros(4), abs=1.2)
    assert first[0] > 20 * math.sqrt(switched.white)


def test_a_larger_special_prime_takes_the_bias_away() -> None:
    params = CkksParams(13, Chain(31, (26, 26), (31,)), 26)
    small, large = (
        physics(replace(params, chain=replace(params.chain, special=(p,)))).switched(3, 2.0**26)
        for p in (31, 45)
    )
    assert small.biased / large.biased == pytest.approx(4.0**14)
    assert large.biased * bias_profile(params.slots)[0] < large.white


def test_secrets_and_libraries_matter() -> None:
    dense = CkksParams(15, Chain(40, (40,), (50,)), 40)
    sparse = replace(dense, secret_weight=192)
    ratio = physics(dense).rescaled(1.0).white / physics(sparse).rescaled(1.0).white
    assert ratio == pytest.approx((1 + 2 * 2**15 / 3) / 193)
    assert physics(dense).fresh(1.0).white < physics(dense).rescaled(1.0).white / 50
    other = Physics(dense, (2.0**40, 2.0**40), LATTIGO)
    assert other.fresh(1.0).white > other.rescaled(1.0).white
    assert other.switched(2, 1.0).biased == 0


def test_several_special_primes_make_digits_of_several_limbs() -> None:
    one = CkksParams(14, Chain(40, (40,) * 3, (50,)), 40)
    two = replace(one, chain=replace(one.chain, special=(40, 40)))
    assert physics(two).switched(4, 1.0).white > physics(one).switched(4, 1.0).white / 4
    assert physics(two).switched(4, 1.0).white == pytest.approx(
        physics(replace(one, chain=replace(one.chain, special=(40,)))).switched(2, 1.0).white
    )


def test_bias_is_where_roots_are_near_one() -> None:
    profile = bias_profile(64)
    roots = np.exp(1j * np.pi * np.array([pow(3, j, 256) for j in range(64)]) / 128)
    assert profile == pytest.approx(np.abs(1 / (1 - roots)) ** 2)
    assert profile.argmax() == 0


def test_every_operation_that_adds_noise_is_a_source() -> None:
    graph, params = block()
    found = variances(graph, params)
    assert found[Source("x", "fresh")].white > 0
    assert found[Source("square1", "relinearise")].white < found[Source("square1", "rescale")].white
    assert found[Source("fc0", "giant")].white < found[Source("fc0", "early giant")].white
    assert found[Source("fc0", "first fold")] == found[Source("fc0", "giant")]
    assert found[Source("fc0", "first fold")].white < found[Source("fc0", "fold")].white
    halved = variances(graph, replace(params, scale=25))
    ratio = halved[Source("fc0", "rescale")].white / found[Source("fc0", "rescale")].white
    assert ratio == pytest.approx(4)
