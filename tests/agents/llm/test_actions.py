"""Reading actions from what models write."""

from __future__ import annotations

from typing import Any

import pytest

from agents.llm.actions import BadAction, action_schema, first_object, read_action, schemas

KNOWN = {"check": {"properties": {"n": {"type": "integer", "maximum": 4}}}, "finish": {}}


def test_schemas_hold_every_tool_and_finish(tiny_bench: Any, tools_of: Any) -> None:
    found = schemas(tools_of(tiny_bench()))
    assert list(found) == ["describe_network", "check", "evaluate", "history", "finish"]
    steps = action_schema(found)["properties"]["step"]["anyOf"]
    assert steps[1]["properties"]["args"]["required"] == ["point"]


@pytest.mark.parametrize(
    "text",
    [
        '{"step": {"why": "w", "action": "check", "args": {"n": 3}}}',
        '{"why": "w", "action": " Check ", "args": {"n": 3}}',
        'Sure!\n```json\n{"step": {"why": "w", "action": "check", "args": {"n": 3},}}\n```',
        '{"step": {"why": "w", "action": "check", "args": "{\\"n\\": 3}"}}',
        '{"step": {"why": "w", "action": "check", "args": {"n": 3',
    ],
)
def test_actions_are_read_through_what_models_add(text: str) -> None:
    action = read_action(text, KNOWN)
    assert (action.name, action.arguments, action.why) == ("check", {"n": 3}, "w")


def test_bounds_are_mended_with_a_note() -> None:
    action = read_action('{"action": "check", "args": {"n": 9}}', KNOWN)
    assert action.arguments == {"n": 4}
    assert action.notes == ("n: 9 is out of bounds, 4 was taken",)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no JSON object"),
        ("((((", "no JSON object"),
        ('{"step": 3}', "step must be an object"),
        ('{"step": {}}', "unknown action 'None'"),
        ('{"action": "shell"}', "known: check, finish"),
        ('{"action": "check", "args": [1]}', "args must be an object"),
    ],
)
def test_what_is_no_action_is_refused_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(BadAction, match=reason):
        read_action(text, KNOWN)


def test_objects_in_prose() -> None:
    assert first_object('a {b} {"c": "}{"} d') == {"c": "}{"}
    assert first_object("[" * 5000) is None
    assert first_object('{"a": "cut in a strin') == {"a": "cut in a strin"}
