"""JSON schemas of tools' arguments: without references, and mending of what nearly fits."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from search.api.domain import Domain, Integer, Param, Real, Vector

TEXT_LIMIT = 300
"""Longest text in an answer: an unbounded string field can run into the limit of tokens."""


def arguments_schema(model: type[BaseModel], params: Sequence[Param] = ()) -> dict[str, Any]:
    """The schema of ``model`` with references put in place, titles dropped and texts bounded.

    An argument ``point`` that takes anything gets the domains of ``params``.
    """
    schema = model.model_json_schema()
    found = dict(_inlined(schema, schema.get("$defs", {}), 0))
    properties = found.setdefault("properties", {})
    point = properties.get("point")
    if params and point is not None and not point.get("properties"):
        properties["point"] = {**point, **point_schema(params)}
    return found


def point_schema(params: Sequence[Param]) -> dict[str, Any]:
    """The schema of a point: every parameter with its domain; conditional ones may be missing."""
    return {
        "type": "object",
        "properties": {p.name: _domain(p.domain) for p in params},
        "required": [p.name for p in params if not p.when],
        "additionalProperties": False,
    }


def _domain(domain: Domain) -> dict[str, Any]:
    if isinstance(domain, Vector):
        element = _domain(domain.element)
        length = domain.length
        return {"type": "array", "items": element, "minItems": length, "maxItems": length}
    if isinstance(domain, (Integer, Real)):
        kind = "integer" if isinstance(domain, Integer) else "number"
        return {"type": kind, "minimum": domain.low, "maximum": domain.high}
    return {"enum": list(domain.options)}


def _inlined(schema: Any, known: Mapping[str, Any], depth: int) -> Any:
    if isinstance(schema, list):
        return [_inlined(s, known, depth) for s in schema]
    if not isinstance(schema, Mapping) or depth > 12:
        return schema if not isinstance(schema, Mapping) else {}
    if "$ref" in schema:
        return _inlined(known.get(schema["$ref"].rpartition("/")[2], {}), known, depth + 1)
    found: dict[str, Any] = {}
    for key, value in schema.items():
        if key in ("$defs", "title") and not isinstance(value, bool):
            if key == "title" and isinstance(value, Mapping):
                found[key] = _inlined(value, known, depth + 1)  # a field called title
            continue
        if key == "properties":
            found[key] = {n: _inlined(s, known, depth + 1) for n, s in value.items()}
        elif isinstance(value, (Mapping, list)) and key not in ("enum", "const", "default"):
            found[key] = _inlined(value, known, depth + 1)
        else:
            found[key] = value
    if found.get("type") == "string" and "enum" not in found:
        found["maxLength"] = min(int(found.get("maxLength", TEXT_LIMIT)), TEXT_LIMIT)
    return found


def mended(schema: Mapping[str, Any], given: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """``given`` brought into the bounds of ``schema``, and what was changed, in words.

    Grammars that constrain a model's output enforce types, not bounds. Only what keeps the meaning
    is mended: numbers are moved to the nearest bound, texts cut, digits in quotes read, unknown
    keys dropped. Anything else stays for the tool to refuse.
    """
    properties = schema.get("properties", {})
    found: dict[str, Any] = {}
    notes: list[str] = []
    for name, value in given.items():
        if name not in properties and schema.get("additionalProperties") is False:
            notes.append(f"{str(name)[:60]!r} is no argument and was dropped")
            continue
        found[name] = _value(properties.get(name, {}), value, name, notes)
    return found, notes


def _value(schema: Mapping[str, Any], value: Any, name: str, notes: list[str]) -> Any:
    kind = schema.get("type")
    if kind == "object" and isinstance(value, str):
        value = _decoded(value)
    if kind == "object" and isinstance(value, Mapping) and schema.get("properties"):
        found, said = mended(schema, value)
        notes.extend(said)
        return found
    if kind in ("integer", "number"):
        return _number(schema, value, name, notes)
    if kind == "string" and isinstance(value, str):
        limit = int(schema.get("maxLength", TEXT_LIMIT))
        if len(value) > limit:
            notes.append(f"{name} was cut to {limit} characters")
        return value[:limit]
    return value


def _decoded(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _number(schema: Mapping[str, Any], value: Any, name: str, notes: list[str]) -> Any:
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return value
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value:
        return value
    low, high = schema.get("minimum"), schema.get("maximum")
    moved = value
    if low is not None and value < low:
        moved = low
    if high is not None and value > high:
        moved = high
    if moved != value:
        notes.append(f"{name}: {value:g} is out of bounds, {moved:g} was taken")
    if schema.get("type") == "integer" and float(moved).is_integer():
        return int(moved)
    return moved
