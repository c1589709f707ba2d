"""Advice names its advisor."""

from __future__ import annotations

from agents.advisors.advice import advice


def test_reasons_are_bounded() -> None:
    found = advice({"a": 1}, "me", "x" * 999, 3)
    assert found.origin.kind == "advisor"
    assert (found.origin.by, len(found.origin.reason), found.origin.parent) == ("me", 500, 3)
