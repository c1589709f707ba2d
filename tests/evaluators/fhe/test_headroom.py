import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from evaluators.fhe import reference
from evaluators.fhe.graph import Graph
from evaluators.fhe.headroom import coefficients, largest_coefficient, largest_of_bias, telling
from evaluators.fhe.packing import pack
from evaluators.fhe.seal.run import run_encrypted
from evaluators.fhe.slot_run import slot_values
from spaces.ckks.params import Chain, CkksParams

sealapi = pytest.importorskip("tenseal.sealapi")

PARAMS = CkksParams(11, Chain(40, (30,) * 3, (50,)), 30)


def context(first: int) -> Any:
    parameters = sealapi.EncryptionParameters(sealapi.SCHEME_TYPE.CKKS)
    parameters.set_poly_modulus_degree(1024)
    parameters.set_coeff_modulus(sealapi.CoeffModulus.Create(1024, [first, 30, 50]))
    return sealapi.SEALContext(parameters, True, sealapi.SEC_LEVEL_TYPE.NONE)


def test_coefficients_are_those_that_seal_encodes() -> None:
    values, q = np.random.default_rng(0).standard_normal(512), 2.0**28
    made = context(40)
    plain = sealapi.Plaintext()
    encoder = sealapi.CKKSEncoder(made)
    encoder.encode(values, made.last_parms_id(), q, plain)
    # Evaluated at the root of slot 3, they give its value.
    found, n = coefficients(values), 1024
    assert found.shape == (n,)
    root = np.exp(1j * np.pi * pow(3, 3, 2 * n) / n)
    assert (found * root ** np.arange(n)).sum() == pytest.approx(values[3])
    assert np.abs(found).max() <= np.abs(values).max()
    assert np.sum(found**2) * n == pytest.approx(2 * np.sum(values**2))
    # SEAL refuses what does not fit, and takes what does, by the largest coefficient.
    room = 2.0 ** (40 - 2) / (np.abs(found).max() * q)
    encoder.encode(values * room * 0.99, made.last_parms_id(), q, plain)
    with pytest.raises(ValueError, match="too large"):
        encoder.encode(values * room * 2.01, made.last_parms_id(), q, plain)


def test_a_constant_is_its_own_largest_coefficient() -> None:
    found = coefficients(np.full((2, 64), 3.0))
    assert found[0, 0] == found[1, 0] == pytest.approx(3.0)
    assert np.abs(found[:, 1:]).max() < 1e-12


@pytest.mark.parametrize("packing", ["plain", "columns", "rotated"])
@pytest.mark.parametrize(
    "build",
    [
        lambda n: n.chain((1, 6, 6), ("fc", 16), ("square",), ("fc", 5)),
        lambda n: n.chain((2, 8, 8), ("conv", 4, 3, 2, 1), ("square",), ("fc", 5)),
        lambda n: n.chain((1, 6, 6), ("fc", 16), ("polynomial", 3), ("fc", 5)),
        lambda n: n.chain((1, 6, 6), ("fc", 16), ("square",)),
        lambda n: n.chain((1, 6, 6), ("fc", 5)),
        lambda n: n.residual(),
        lambda n: n.chain((3, 32, 32), ("conv", 4, 3, 2, 1), ("square",), ("fc", 7)),
    ],
)
def test_what_is_decrypted_is_known_without_running_all_layers(
    networks: Any, build: Callable[[Any], Graph], packing: str
) -> None:
    graph = build(networks)
    params = dataclasses.replace(PARAMS, input_packing=packing)
    packed = pack(graph, params.slots, params)
    x = np.random.default_rng(1).random((3, int(np.prod(graph.nodes[0].shape))))
    wanted = max(
        np.abs(coefficients(slot_values(packed, row)[graph.nodes[-1].name])).max() for row in x
    )
    assert largest_coefficient(packed, x) == pytest.approx(wanted)


def test_the_largest_of_many_inputs_counts(networks: Any) -> None:
    graph = networks.chain((1, 6, 6), ("fc", 16), ("square",), ("fc", 5))
    packed = pack(graph, PARAMS.slots, PARAMS)
    x = np.random.default_rng(1).random((100, 36))
    each = [largest_coefficient(packed, row[None]) for row in x]
    assert largest_coefficient(packed, x) == pytest.approx(max(each), rel=0.05)
    assert largest_coefficient(packed, x) <= np.abs(reference.run(graph, x)).max() * 40
    with np.errstate(over="ignore"):
        assert largest_coefficient(packed, np.full((2, 36), 1e200)) == float("inf")


def test_the_telling_inputs_are_few_and_tell_the_same_of_every_layout(networks: Any) -> None:
    graph = networks.chain((1, 6, 6), ("fc", 16), ("square",), ("fc", 5))
    x = np.random.default_rng(4).uniform(-1, 1, (400, 36))
    few = telling(graph, x)
    assert 16 <= len(few) <= 32
    for packing in ("plain", "columns"):
        params = dataclasses.replace(PARAMS, input_packing=packing)
        packed = pack(graph, params.slots, params)
        assert largest_coefficient(packed, few) == largest_coefficient(packed, x)


def test_a_bias_is_encoded_with_zeros_in_unused_slots(networks: Any) -> None:
    graph = networks.chain((1, 6, 6), ("fc", 16), ("square",), ("fc", 5))
    packed = pack(graph, PARAMS.slots, PARAMS)
    bias = graph.nodes[-1].linear.bias
    slots = packed.linears["fc3"].bias()
    assert largest_of_bias(packed, "fc3") == pytest.approx(np.abs(coefficients(slots)).max())
    assert largest_of_bias(packed, "fc3") < np.abs(bias).max()
    linear = dataclasses.replace(graph.nodes[-1].linear, bias=np.zeros(5))
    plain = Graph((*graph.nodes[:-1], dataclasses.replace(graph.nodes[-1], linear=linear)), {})
    assert largest_of_bias(pack(plain, PARAMS.slots, PARAMS), "fc3") == 0.0


def test_results_larger_than_the_modulus_are_right_while_their_coefficients_fit(
    networks: Any,
) -> None:
    graph = networks.chain((1, 6, 6), ("fc", 16), ("square",), ("fc", 5))
    last = graph.nodes[-1]
    x = np.random.default_rng(1).random((2, 36))
    scaled = last.linear.matrix * (3.6 / np.abs(reference.run(graph, x)).max())
    linear = dataclasses.replace(last.linear, matrix=scaled, bias=np.zeros(5))
    graph = Graph((*graph.nodes[:-1], dataclasses.replace(last, linear=linear)), {})
    params = dataclasses.replace(PARAMS, chain=Chain(32, (30,) * 3, (50,)))
    packed = pack(graph, params.slots, params)
    exact = reference.run(graph, x)
    assert np.abs(exact).max() > 2.0 > 1.5 * largest_coefficient(packed, x)
    found = np.array([i.output for i in run_encrypted(packed, params, x).inferences])
    assert np.abs(found - exact).max() < 0.01
    large = np.append(x, 12 * x[:1], axis=0)
    assert largest_coefficient(packed, large) > 2.0
    wrapped = run_encrypted(packed, params, large).inferences[-1].output
    assert np.abs(wrapped - reference.run(graph, large)[-1]).max() > 0.1


def test_what_wraps_around_between_is_right_if_the_result_fits() -> None:
    made = context(33)
    generator = sealapi.KeyGenerator(made)
    relin = sealapi.RelinKeys()
    generator.create_relin_keys(relin)
    secret = generator.secret_key()
    encryptor, encoder = sealapi.Encryptor(made, secret), sealapi.CKKSEncoder(made)
    evaluator = sealapi.Evaluator(made)
    squares = []
    for value in (64.0, np.sqrt(64.0**2 - 1)):
        plain, cipher = sealapi.Plaintext(), sealapi.Ciphertext()
        encoder.encode(value, 2.0**30, plain)
        encryptor.encrypt_symmetric(plain, cipher)
        evaluator.square_inplace(cipher)
        evaluator.relinearize_inplace(cipher, relin)
        evaluator.rescale_to_next_inplace(cipher)
        squares.append(cipher)
    plain = sealapi.Plaintext()

    def decrypted(cipher: Any) -> float:
        sealapi.Decryptor(made, secret).decrypt(cipher, plain)
        return float(np.array(encoder.decode_double(plain))[5])

    assert abs(decrypted(squares[0]) - 4096.0) > 100  # 2^12 at scale 2^30 is more than 2^33
    evaluator.sub_inplace(*squares)
    assert decrypted(squares[0]) == pytest.approx(1.0, abs=0.05)
