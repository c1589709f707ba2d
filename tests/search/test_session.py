"""Sessions: who may write, and what may change between two of them."""

from __future__ import annotations

from search.session import differences


def test_differences_name_sections_and_skip_what_may_change() -> None:
    old = {"study": {"name": "a", "storage": "journal"}, "budget": 1, "space": 1, "method": 1}
    new = {"study": {"name": "a", "storage": "x"}, "budget": 2, "space": 2, "method": 1}
    assert differences(old, new) == ["space"]
    assert differences(old, {**old, "study": {"name": "b", "storage": "journal"}}) == ["study"]
