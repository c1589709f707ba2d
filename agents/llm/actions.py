"""JSON actions: how a model without tool calls says what to do, and how that is read.

The answer is ``{"step": {"why": ..., "action": NAME, "args": {...}}}``; one alternative a tool, so
that a server which constrains its output by the schema cannot mix up names and arguments.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agents.api import Toolbox
from agents.llm.schema import arguments_schema, mended
from search.api.domain import Param

FINISH = "finish"
WHY_LIMIT = 200
SUMMARY_LIMIT = 600

FINISH_ARGUMENTS: dict[str, Any] = {
    "type": "object",
    "properties": {
        "trial": {"type": "integer", "minimum": -1, "description": "Chosen trial; -1 for none."},
        "summary": {
            "type": "string",
            "maxLength": SUMMARY_LIMIT,
            "description": "What was found, in two sentences. Every number is checked.",
        },
    },
    "required": ["trial", "summary"],
    "additionalProperties": False,
}


class BadAction(Exception):
    """An answer that is no action; the text tells the model what to mend."""


@dataclass(frozen=True)
class Action:
    """What a model wants.

    Args:
        name: of a tool, or ``finish``.
        arguments: mended, not yet checked by the tool.
        why: the model's reason, for people.
        notes: what was mended, in words.
    """

    name: str
    arguments: Mapping[str, Any]
    why: str = ""
    notes: tuple[str, ...] = ()


def schemas(tools: Toolbox, params: Sequence[Param] = ()) -> dict[str, dict[str, Any]]:
    """Arguments by action, ``finish`` last; points take the domains of ``params``."""
    found = {n: arguments_schema(tool.arguments, params) for n, tool in tools.tools.items()}
    return {**found, FINISH: FINISH_ARGUMENTS}


def action_schema(known: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The schema of a whole answer."""
    steps = [
        {
            "type": "object",
            "properties": {
                "why": {"type": "string", "maxLength": WHY_LIMIT},
                "action": {"type": "string", "enum": [name]},
                "args": dict(arguments),
            },
            "required": ["why", "action", "args"],
            "additionalProperties": False,
        }
        for name, arguments in known.items()
    ]
    return {
        "type": "object",
        "properties": {"step": {"anyOf": steps}},
        "required": ["step"],
        "additionalProperties": False,
    }


def read_action(text: str, known: Mapping[str, Mapping[str, Any]]) -> Action:
    """The action in a model's answer; prose and fences around the JSON are forgiven.

    Raises:
        BadAction: there is none, or its name is not known.
    """
    data = first_object(text)
    if data is None:
        raise BadAction(
            "no JSON object in the answer; reply with "
            '{"step": {"why": "...", "action": "...", "args": {...}}} and nothing else'
        )
    step = data.get("step", data)
    if not isinstance(step, Mapping):
        raise BadAction("step must be an object with why, action and args")
    name = step.get("action")
    if not isinstance(name, str) or name.strip().lower() not in known:
        raise BadAction(f"unknown action {str(name)[:60]!r} (known: {', '.join(known)})")
    name = name.strip().lower()
    arguments = step.get("args", {})
    if isinstance(arguments, str):
        arguments = first_object(arguments)
    if not isinstance(arguments, Mapping):
        raise BadAction(f"{name}: args must be an object")
    checked, notes = mended(known[name], arguments)
    return Action(name, checked, str(step.get("why", ""))[:WHY_LIMIT], tuple(notes))


def first_object(text: str) -> dict[str, Any] | None:
    """The first JSON object in ``text``; trailing commas and a missing end are mended."""
    start = text.find("{")
    while start >= 0:
        found = _object_at(text[start:])
        if found is not None:
            return found
        start = text.find("{", start + 1)
    return None


def _object_at(text: str) -> dict[str, Any] | None:
    decoder = json.JSONDecoder()
    for candidate in _candidates(text):
        try:
            data, _ = decoder.raw_decode(candidate)
        except (ValueError, RecursionError):
            continue
        if isinstance(data, dict):
            return data
    return None


def _candidates(text: str) -> Sequence[str]:
    whole = re.sub(r",\s*([}\]])", r"\1", text)
    return (text, whole, whole + _closing(whole))


def _closing(text: str) -> str:
    """What is missing to close an object that was cut off."""
    stack: list[str] = []
    quoted = escaped = False
    for character in text:
        if quoted:
            quoted = escaped or character != '"'
            escaped = character == "\\" and not escaped
        elif character == '"':
            quoted = True
        elif character in "{[":
            stack.append("}" if character == "{" else "]")
        elif character in "}]" and stack:
            stack.pop()
    return ('"' if quoted else "") + "".join(reversed(stack))
