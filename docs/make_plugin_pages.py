"""Write ``docs/plugins.md``: every plugin we ship, its one-line doc and its options.

Run it after a change of a plugin's options: ``python docs/make_plugin_pages.py``. A test compares
the page with what this would write.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from search import registry

PAGE = Path(__file__).parent / "plugins.md"

EMPTY = "empty"  # of fields whose default is made anew each time: mappings and lists

TITLES = {
    "space": ("Spaces", "What may be chosen. Section `space`."),
    "method": ("Methods", "How a point becomes a candidate. Section `method`."),
    "evaluator": ("Evaluators", "What is measured. Entries of `ladder[].evaluators`."),
    "searcher": ("Searchers", "Who proposes points. Section `searcher`."),
    "runner": ("Runners", "Where trials run. Section `runner`, or `--runner` on the command line."),
    "workload": ("Workloads", "What is searched for. Section `workload`."),
    "network": ("Networks", "Key `workload.network`."),
    "dataset": ("Datasets", "Key `workload.data`."),
}

HEAD = """\
# Plugins

<!-- Made by docs/make_plugin_pages.py from the plugins: change those, then run it. -->

Everything a configuration may name, with its options. A plugin is given by its name, or by a
mapping of `name` and options: `searcher: tpe` or `searcher: {name: tpe, n_startup_trials: 5}`.
`search list` shows the same names, yours included; [extend.md](extend.md) says how to add some.
"""


def page() -> str:
    """The page as text."""
    parts = [HEAD]
    for kind, (title, where) in TITLES.items():
        parts.append(f"## {title}\n\n{where}\n")
        for info in registry.describe(kind):
            if info.distribution.startswith("cipher-search "):
                parts.append(section(kind, info.name, info.doc))
    return "\n".join(parts)


def section(kind: str, name: str, doc: str) -> str:
    """One plugin: its heading, its line, and a table of its options."""
    plugin = registry.load(kind, name)
    rows = list(factory_rows(plugin) if kind == "network" else config_rows(plugin.Config))
    text = f"### `{name}`\n\n{doc.replace('``', '`')}\n"
    if not rows:
        return text + "\nNo options.\n"
    head = ["option", "value", "default", "meaning"]
    if not any(row[3] for row in rows):
        head, rows = head[:3], [row[:3] for row in rows]
    lines = [head, ["---"] * len(head), *rows]
    return text + "\n" + "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def config_rows(config: Any) -> Iterator[list[str]]:
    """Option, value, default and meaning of each field of a ``Config``."""
    schema = config.model_json_schema()
    definitions = schema.get("$defs", {})
    for name, field in schema.get("properties", {}).items():
        required = name in schema.get("required", ())
        default = "required" if required else shown(field.get("default", EMPTY))
        yield cells(f"`{name}`", value(field, definitions), default, field.get("description", ""))


def factory_rows(factory: Any) -> Iterator[list[str]]:
    """Option, value and default of each keyword of a network's factory."""
    for parameter in inspect.signature(factory).parameters.values():
        if parameter.kind is parameter.KEYWORD_ONLY:
            default = (
                "required" if parameter.default is parameter.empty else shown(parameter.default)
            )
            yield cells(f"`{parameter.name}`", str(parameter.annotation), default, "")


def cells(*texts: str) -> list[str]:
    """Texts as cells of a Markdown table."""
    return [" ".join(text.replace("|", "or").split()) for text in texts]


def value(field: Mapping[str, Any], definitions: Mapping[str, Any]) -> str:
    """Which values a field of a JSON schema takes, in words."""
    if "$ref" in field:
        target = definitions[field["$ref"].rpartition("/")[2]]
        inner = ", ".join(f"`{key}`" for key in target.get("properties", {}))
        return "name, or mapping with name" if inner == "`name`, `options`" else f"mapping: {inner}"
    for key in ("anyOf", "oneOf"):
        if key in field:
            found = [value(option, definitions) for option in field[key]]
            return " or ".join(text for text in found if text != "null") or "null"
    if "allOf" in field:
        return value(field["allOf"][0], definitions)
    if "const" in field:
        return shown(field["const"])
    if "enum" in field:
        return ", ".join(shown(option) for option in field["enum"])
    if field.get("type") == "array":
        return f"list of {value(field.get('items', {}), definitions)}"
    words = {"object": "mapping", "string": "text", "boolean": "true or false"}
    kind = str(field.get("type", "anything"))
    return words.get(kind, kind) + bounds(field)


def bounds(field: Mapping[str, Any]) -> str:
    """Bounds of a number, such as `` >= 1``."""
    signs = {
        "minimum": ">=", "exclusiveMinimum": ">", "maximum": "<=", "exclusiveMaximum": "<",
    }  # fmt: skip
    found = [f"{sign} {field[key]:g}" for key, sign in signs.items() if key in field]
    return " " + ", ".join(found) if found else ""


def shown(default: Any) -> str:
    """A default as it would stand in YAML."""
    if default is None or default == EMPTY:
        return default or "none"
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    if isinstance(default, Mapping):
        inner = ", ".join(f"{k}: {shown(v).strip('`')}" for k, v in default.items())
        return f"`{{{inner}}}`"
    if isinstance(default, (list, tuple)):
        return f"`[{', '.join(shown(v).strip('`') for v in default)}]`"
    return f"`{default}`"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
