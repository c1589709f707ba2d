from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import yaml

from evaluators.fhe.export.orion_yaml import differences, embedding, orion_yaml
from evaluators.fhe.failures import BackendFailure
from evaluators.fhe.orion.shipped import shipped
from spaces.ckks.params import CkksParams, LayerPacking


def read(params: CkksParams) -> Any:
    return yaml.safe_load(orion_yaml(params))


def test_a_configuration_of_orions_own_comes_out_as_orion_ships_it() -> None:
    own = read(shipped()["lenet"])["ckks_params"]
    assert own == {
        "LogN": 14,
        "LogQ": [45, 35, 35, 35, 35, 35, 35, 35],
        "LogP": [45, 45],
        "LogScale": 35,
        "H": 192,
        "RingType": "ConjugateInvariant",
    }


def test_a_dense_secret_has_two_thirds_of_its_entries(params: CkksParams) -> None:
    found = read(params)
    assert found["ckks_params"]["H"] == 5461
    assert found["ckks_params"]["RingType"] == "Standard"
    assert found["orion"]["margin"] == 1.5
    assert any("dense secret" in line for line in differences(params))


@pytest.mark.parametrize(
    ("layers", "method"),
    [
        ((), "hybrid"),
        ((LayerPacking("a"),), "hybrid"),
        ((LayerPacking("a", "square"), LayerPacking("b", "square")), "square"),
        ((LayerPacking("a", "square"), LayerPacking("b")), "hybrid"),
    ],
)
def test_one_embedding_for_all(params: CkksParams, layers: Any, method: str) -> None:
    changed = dataclasses.replace(params, layers=layers)
    assert embedding(changed) == read(changed)["orion"]["embedding_method"] == method
    mixed = len({layer.embedding for layer in layers}) == 2
    assert any("a: square, b: fold" in line for line in differences(changed)) == mixed


def test_orion_needs_a_prime_for_every_level(params: CkksParams) -> None:
    with pytest.raises(BackendFailure, match="one prime for both"):
        orion_yaml(dataclasses.replace(params, drops="paired"))


def test_what_differs_stands_in_the_file(params: CkksParams) -> None:
    changed = dataclasses.replace(params, bootstraps=("fc1",), ring="conjugate_invariant")
    text = orion_yaml(changed)
    for line in differences(changed):
        assert f"# - {line}" in text
    assert "act: polynomial of degree 7" in text
    assert "boot_params" in text
