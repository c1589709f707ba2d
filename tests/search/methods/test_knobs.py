from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel, Field, ValidationError

from search.api.domain import Integer, Real
from search.api.errors import ConfigError
from search.methods.knobs import Knob, Knobs


class Options(BaseModel):
    rate: Knob = Field(0.1, description="how fast")
    steps: Knob = Field(default={"integer": [1, 8]})


def test_a_number_is_fixed_and_a_domain_is_searched() -> None:
    knobs = Knobs(Options(), ("rate", "steps"))
    (steps,) = knobs.params()
    assert (steps.name, steps.domain) == ("steps", Integer(1, 8))
    assert knobs.value("rate", {"steps": 3}) == 0.1
    assert knobs.value("steps", {"steps": 3}) == 3.0


def test_a_domain_takes_the_fields_description_unless_it_has_its_own() -> None:
    given = Options(rate={"real": [0.01, 1], "log": True})
    (rate,) = Knobs(given, ("rate",)).params()
    assert rate.domain == Real(0.01, 1, log=True)
    assert rate.doc == "how fast"
    own = Options(rate={"real": [0, 1], "doc": "mine", "unit": "1/s"})
    (rate,) = Knobs(own, ("rate",)).params()
    assert (rate.doc, rate.unit) == ("mine", "1/s")


@pytest.mark.parametrize(
    ("value", "highest"), [(3, 3.0), ({"real": [0, 2.5]}, 2.5), ({"ordinal": [40, 5, 0]}, 40.0)]
)
def test_the_largest_value(value: Any, highest: float) -> None:
    assert Knobs(Options(rate=value), ("rate",)).highest("rate") == highest


def test_options_survive_json() -> None:
    given = Options(rate={"real": [0.01, 1.0], "log": True})
    assert Options.model_validate(given.model_dump(mode="json")) == given


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (-1, "expected a number of at least 0"),
        (True, "expected a number of at least 0"),
        (float("nan"), "expected a number of at least 0"),
        (float("inf"), "expected a number of at least 0"),
        ("fast", "expected a number of at least 0"),
        ({"real": [-1, 1]}, "expected numbers of at least 0"),
        ({"ordinal": [1, float("nan")]}, "expected numbers of at least 0"),
        ({"choice": ["a", "b"]}, "expected numbers of at least 0"),
        ({"vector": {"real": [0, 1]}, "length": 2}, "expected numbers of at least 0"),
        ({"rael": [0, 1]}, "Did you mean 'real'"),
        ({"real": [2, 1]}, "low must not exceed high"),
    ],
)
def test_nonsense_is_refused(value: Any, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Options(rate=value)


@pytest.mark.parametrize("value", [None, True, "x"])
def test_a_point_without_the_number(value: Any) -> None:
    knobs = Knobs(Options(), ("steps",))
    point = {} if value is None else {"steps": value}
    with pytest.raises(ConfigError, match=r"point\.steps: expected a number"):
        knobs.value("steps", point)
