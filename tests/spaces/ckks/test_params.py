import json

import pytest

from search.api.candidate import to_plain
from search.api.errors import ConfigError
from spaces.ckks.params import ActivationChoice, Chain, CkksParams, LayerPacking

FULL = CkksParams(
    14, Chain(45, (35, 36), (60,)), 35, secret_weight=192, input_packing="columns",
    layers=(LayerPacking("fc1", "square", 8),),
    activations=(ActivationChoice("r1", "polynomial", 7, 1.5),), bootstraps=("fc2",),
    drops="paired", weight_bits=31,
)  # fmt: skip


def test_a_chain_counts_limbs_and_bits() -> None:
    assert (FULL.chain.limbs, FULL.chain.log_q, FULL.chain.log_qp) == (3, 116, 176)
    assert Chain(30, (), ()).limbs == 1


def test_slots_are_half_the_dimension_or_all_of_it() -> None:
    assert (FULL.n, FULL.slots) == (16384, 8192)
    assert CkksParams(12, Chain(30, (), (40,)), 20, ring="conjugate_invariant").slots == 4096


def test_what_is_not_named_has_the_defaults() -> None:
    assert FULL.layer("fc1").baby == 8
    assert FULL.layer("fc9") == LayerPacking("fc9", "fold", 0)
    assert FULL.activation("r1").degree == 7
    assert FULL.activation("r9") == ActivationChoice("r9", "own", 2, 2.0)


def test_it_goes_through_json_and_back() -> None:
    assert CkksParams.decode(json.loads(json.dumps(to_plain(FULL)))) == FULL
    short = {"log_n": 12, "chain": {"first": 30, "levels": [25], "special": [45]}, "scale": 25}
    assert CkksParams.decode(short) == CkksParams(12, Chain(30, (25,), (45,)), 25)


@pytest.mark.parametrize(
    "data",
    [
        None,
        [],
        {},
        {"log_n": 12, "scale": 25},
        {"log_n": True, "chain": {"first": 30, "levels": [], "special": []}, "scale": 25},
        {"log_n": 12, "chain": {"first": 30.5, "levels": [], "special": []}, "scale": 25},
        {"log_n": 12, "chain": {"first": 30, "levels": 5, "special": []}, "scale": 25},
        {**to_plain(FULL), "layers": [3]},
        {**to_plain(FULL), "layers": [{"site": "a", "colour": "red"}]},
    ],
)
def test_other_data_is_refused(data: object) -> None:
    with pytest.raises(ConfigError, match="not a CKKS configuration"):
        CkksParams.decode(data)
