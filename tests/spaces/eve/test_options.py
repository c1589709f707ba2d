from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from spaces.eve.options import EveConfig


def test_one_value_or_several() -> None:
    config = EveConfig.model_validate(
        {"modes": 4, "bits": [8], "order": "reuse_W", "limits": {"deadlines": 5}}
    )
    assert config.modes == (4,)
    assert config.order == ("reuse_W",)
    assert config.limits.deadlines == (5.0,)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"modes": [3, 2]}, "rising positive numbers"),
        ({"modes": 9}, "at most 8 modes"),
        ({"bits": [8, 12]}, "8 or 16 bits"),
        ({"pool": []}, "at least 1"),
        ({"low": 0.5, "high": 0.4}, "low must not exceed high"),
        ({"step_low": 0.5, "step_high": 0.4}, "step_low must not exceed step_high"),
        ({"order": "reuse_X"}, "reuse_I"),
        ({"limits": {"deadlines": [0]}}, "greater than 0"),
        ({"tiles": 3}, "Extra inputs"),
    ],
)
def test_slips_are_told(options: dict[str, Any], match: str) -> None:
    with pytest.raises(ValidationError, match=match):
        EveConfig.model_validate(options)
