from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from search.methods.adapi_options import AdaPIConfig


def test_relus_follow_the_weights_unless_told() -> None:
    assert AdaPIConfig(densities=(0.1, 0.4)).ladder == ((0.1, 0.1), (0.4, 0.4))
    told = AdaPIConfig(densities=(0.1, 0.4), relu_densities=(0.0, 0.2))
    assert told.ladder == ((0.1, 0.0), (0.4, 0.2))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"densities": (0.4, 0.1)}, "densities: expected rising shares"),
        ({"densities": (0.1, 1.1)}, "densities: expected rising shares"),
        ({"densities": (0.0, 0.1)}, "without weights computes nothing"),
        ({"densities": ()}, "densities"),
        ({"densities": (0.1, 0.4), "relu_densities": (0.1,)}, "one for each of 2 members"),
        ({"densities": (0.1, 0.4), "relu_densities": (-0.1, 0.1)}, "relu_densities: expected"),
    ],
)
def test_ladders_must_rise(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        AdaPIConfig(**options)
