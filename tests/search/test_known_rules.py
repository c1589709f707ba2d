"""Known constraints: checked and repaired in one place."""

from __future__ import annotations

from typing import Any

import pytest

from search import Choice, Param, Vector
from search.api.errors import ConfigError
from search.known_rules import Rules
from search.methods.direct import Direct
from spaces.parameters import ParameterSpace

PARAMS = (Param("mask", Vector(Choice((0, 1)), 10)), Param("n", Choice((1, 2))))


class Inside(Direct):
    """A method that decides the space by itself."""

    @property
    def decides_space(self) -> bool:
        return True


def rules(known: list[str], method: Any = None) -> Rules:
    return Rules(PARAMS, ParameterSpace(PARAMS), method or Direct(), known)


def test_check_and_repair() -> None:
    tested = rules(["sum(mask) <= 4", "n <= 1"])
    point = {"mask": (1,) * 10, "n": 2}
    assert {v.excess for v in tested.check(point)} == {6.0, 1.0}
    assert tested.repair is not None
    mended = tested.repair(point)
    assert not tested.check(mended)
    assert mended == tested.repair(point)
    legal = {"mask": (0,) * 10, "n": 1}
    assert tested.repair(legal) == legal


def test_no_rule_no_repair() -> None:
    assert rules([], Inside()).repair is None
    assert rules(["n <= 1"], Inside()).repair is not None


def test_a_bad_text_is_named() -> None:
    with pytest.raises(ConfigError) as error:
        rules(["n <= 1", "sum(masc) <= 4"])
    assert error.value.path == "known[1]"
    assert "mask" in str(error.value)
