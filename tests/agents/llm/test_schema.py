"""Schemas of arguments, and mending by them."""

from __future__ import annotations

import json
from typing import Any, Literal

import pytest
from pydantic import BaseModel, Field

from agents.llm.schema import arguments_schema, mended


class Inner(BaseModel):
    """A part."""

    n: int = Field(ge=1, le=4)


class Outer(BaseModel):
    """Arguments."""

    inner: Inner
    title: str = "x"
    kind: Literal["a", "b"] = "a"
    rate: float = Field(0.1, ge=0, le=1)
    parts: list[Inner] = []


def test_schemas_hold_no_reference_and_bound_texts() -> None:
    schema = arguments_schema(Outer)
    assert "$ref" not in json.dumps(schema)
    assert "$defs" not in schema
    assert schema["properties"]["inner"]["properties"]["n"]["maximum"] == 4
    assert schema["properties"]["parts"]["items"]["type"] == "object"
    assert schema["properties"]["title"]["maxLength"] == 300
    assert "maxLength" not in schema["properties"]["kind"]
    assert "title" not in schema


SCHEMA: dict[str, Any] = {
    "properties": {
        "n": {"type": "integer", "minimum": 1, "maximum": 4},
        "x": {"type": "number"},
        "s": {"type": "string", "maxLength": 3},
        "o": {"type": "object"},
    },
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    ("given", "expected", "notes"),
    [
        ({"n": 9}, {"n": 4}, 1),
        ({"n": -1.0}, {"n": 1}, 1),
        ({"n": "3"}, {"n": 3}, 0),
        ({"n": 2.0}, {"n": 2}, 0),
        ({"n": 2.5}, {"n": 2.5}, 0),
        ({"n": True}, {"n": True}, 0),
        ({"n": "many"}, {"n": "many"}, 0),
        ({"x": float("nan")}, {"x": pytest.approx(float("nan"), nan_ok=True)}, 0),
        ({"s": "abcdef"}, {"s": "abc"}, 1),
        ({"o": '{"a": 1}'}, {"o": {"a": 1}}, 0),
        ({"o": "{oops"}, {"o": "{oops"}, 0),
        ({"z": 1}, {}, 1),
    ],
)
def test_only_what_keeps_the_meaning_is_mended(
    given: dict[str, Any], expected: dict[str, Any], notes: int
) -> None:
    found, said = mended(SCHEMA, given)
    assert found == expected
    assert len(said) == notes


def test_unknown_keys_stay_where_they_are_allowed() -> None:
    assert mended({}, {"z": 1}) == ({"z": 1}, [])
