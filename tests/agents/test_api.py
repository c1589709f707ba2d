"""Tools answer, whatever a model sends."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, Field

from agents.api import Tool, Toolbox, ToolError


class Arguments(BaseModel):
    model_config = ConfigDict(extra="forbid")
    bits: int = Field(ge=1, le=60, description="bits of a prime")


def double(arguments: Arguments) -> Mapping[str, Any]:
    if arguments.bits == 13:
        raise ToolError("13 bits: no such prime. Nearest: 14")
    return {"bits": 2 * arguments.bits}


BOX = Toolbox({"double": Tool("double", "Twice as many bits.", Arguments, double)})


def test_a_call_gives_what_the_tool_gives() -> None:
    assert BOX.call("double", {"bits": 20}) == {"bits": 40}


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("triple", {}, "unknown tool 'triple'"),
        ("double", {"bits": 99}, "bits"),
        ("double", {"bits": 20, "sudo": True}, "sudo"),
        ("double", {}, "bits"),
        ("double", {"bits": 13}, "Nearest: 14"),
    ],
)
def test_what_is_wrong_comes_back_as_an_answer(
    name: str, arguments: Mapping[str, Any], said: str
) -> None:
    assert said in str(BOX.call(name, arguments)["error"])


def test_an_unknown_tool_is_told_the_known_ones() -> None:
    assert "double" in BOX.call("rm", {})["hint"]
