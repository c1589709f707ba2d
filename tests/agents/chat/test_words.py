"""How short texts of people are read."""

from __future__ import annotations

import pytest

from agents.chat.words import approval, changes, is_question, pairs, unknown_names
from search import Choice, Integer, Ordinal, Param, Real, Vector

PARAMS = (
    Param("log_n", Ordinal((12, 13))),
    Param("scale", Integer(20, 50)),
    Param("kind", Choice(("u", "V"))),
    Param("x", Real(0, 1)),
    Param("on", Choice((True, False))),
    Param("v", Vector(Integer(0, 9), 3)),
)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("log_n=13 scale = 40!", {"log_n": 13, "scale": 40}),
        ("set scale to 33", {"scale": 33}),
        ("kind=v, x=0.5;", {"kind": "V", "x": 0.5}),
        ("on=true", {"on": True}),
        ("v=(1 2 3)", {"v": (1, 2, 3)}),
        ("v=[1, 2, 3]?", {"v": (1, 2, 3)}),
        ("scale=many", {"scale": "many"}),
        ("speed=3", {}),
        ("under 2 s at 20 bits", {}),
    ],
)
def test_changes_of_knobs(text: str, found: dict[str, object]) -> None:
    assert changes(text, PARAMS) == found


def test_strangers_are_named() -> None:
    assert unknown_names("speed=3 scale=2", PARAMS, {}) == ["speed"]
    assert pairs("a=1") == {"a": "1"}


@pytest.mark.parametrize(
    ("text", "found"),
    [("y", "yes"), (" YES. ", "yes"), ("a", "all"), ("no", "no"), ("", "no"), ("maybe", None)],
)
def test_approvals(text: str, found: str | None) -> None:
    assert approval(text) == found


@pytest.mark.parametrize(
    ("text", "found"),
    [("why", True), ("Is it fast?", True), ("How fast", True), ("as fast as possible", False)],
)
def test_questions(text: str, found: bool) -> None:
    assert is_question(text) is found
