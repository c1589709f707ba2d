from __future__ import annotations

import dataclasses
import json
import math

import pytest

from evaluators.fhe.export.parameters import chain_of, parameters, plan
from evaluators.fhe.failures import BackendFailure
from evaluators.fhe.packed import PackedNetwork
from search.api.candidate import to_plain
from spaces.ckks.params import Chain, CkksParams
from spaces.ckks.primes import is_prime, primes_of
from spaces.ckks.security import Security


def test_every_prime_is_exact_and_has_its_role(params: CkksParams) -> None:
    found = chain_of(params)
    assert [entry["role"] for entry in found] == ["first", *["level"] * 3, "special"]
    assert [entry["bits"] for entry in found] == [32, 27, 27, 27, 45]
    for entry in found:
        assert is_prime(entry["prime"])
        assert entry["prime"] % (2 * params.n) == 1
        assert entry["prime"].bit_length() == entry["bits"]
        assert int(entry["hex"], 16) == entry["prime"]


def test_parameters_survive_json_and_say_how_secure_they_are(params: CkksParams) -> None:
    data = json.loads(json.dumps(parameters(params, Security())))
    assert (data["log_n"], data["ring_dimension"], data["slots"]) == (13, 8192, 4096)
    assert (data["scale_bits"], data["scale"]) == (27, 2**27)
    assert data["secret"] == {"distribution": "ternary", "weight": None}
    assert [entry["prime"] for entry in data["chain"]] == list(primes_of(params.chain, 13))
    security = data["security"]
    assert (security["bits"], security["limit_log_qp_bits"]) == (128, 214)
    assert security["slack_bits"] == 214 - data["log_qp_bits"] == 214 - 158
    assert security["enforced"]
    assert data["layers"] == to_plain(params.layers)
    assert data["activations"][0]["degree"] == 7


def test_no_choice_is_forgotten(params: CkksParams) -> None:
    data = parameters(params, Security())
    names = {field.name for field in dataclasses.fields(params)} - {"secret_weight", "scale"}
    assert names | {"secret", "scale_bits"} <= set(data)
    assert data["drops"] == params.drops


def test_a_paired_chain_drops_one_prime_for_a_square_and_a_layer(
    packed: PackedNetwork, params: CkksParams
) -> None:
    paired = dataclasses.replace(params, drops="paired", chain=Chain(32, (54, 27), (60,)))
    drops = {node["name"]: len(node["drops"]) for node in plan(packed, paired)["nodes"]}
    assert list(drops.values()) == [0, 1, 0, 1]


def test_an_unenforced_table_and_a_sparse_secret_are_told(params: CkksParams) -> None:
    sparse = dataclasses.replace(params, secret_weight=192)
    data = parameters(sparse, Security(table="legacy_2018", allow_insecure=True))
    assert data["secret"] == {"distribution": "sparse ternary", "weight": 192}
    assert (data["security"]["table"], data["security"]["enforced"]) == ("legacy_2018", False)
    assert data["security"]["slack_bits"] is None


def test_the_plan_goes_down_the_chain(packed: PackedNetwork, params: CkksParams) -> None:
    found = plan(packed, params)
    primes = primes_of(params.chain, params.log_n)[:4]
    dropped = [prime for node in found["nodes"] for prime in node["drops"]]
    assert dropped == list(reversed(primes[1:]))
    assert found["limbs_unused"] == 0
    last = found["nodes"][-1]
    assert (last["kind"], last["limbs_out"]) == ("linear", 1)
    assert math.isclose(last["log2_scale_out"], params.scale)
    json.dumps(found)


def test_the_packing_of_each_layer_is_told(packed: PackedNetwork, params: CkksParams) -> None:
    found = plan(packed, params)
    layers = [node for node in found["nodes"] if node["kind"] == "linear"]
    assert [layer["name"] for layer in layers] == list(packed.linears)
    steps = set()
    for layer in layers:
        packing = layer["packing"]
        linear = packed.linears[layer["name"]]
        assert packing["diagonals"] == len(linear.terms)
        assert packing["rotations"] == linear.rotations
        steps |= {*packing["baby_steps"], *packing["giant_steps"], *packing["folds"]}
    assert sorted(steps - {0}) == found["rotation_steps"]
    assert layers[0]["packing"]["chosen"]["embedding"] == "square"
    assert layers[0]["packing"]["chosen"]["baby"] == 4


def test_spare_levels_are_counted(packed: PackedNetwork, params: CkksParams) -> None:
    longer = dataclasses.replace(params, chain=Chain(32, (27,) * 5, (40,)))
    assert plan(packed, longer)["limbs_unused"] == 2


def test_a_chain_that_is_too_short(packed: PackedNetwork, params: CkksParams) -> None:
    with pytest.raises(BackendFailure, match="depth"):
        plan(packed, dataclasses.replace(params, chain=Chain(32, (27,), (45,))))
