"""``search list``: which plugins there are."""

from __future__ import annotations

import dataclasses
import json as json_module
from collections.abc import Sequence
from pathlib import Path

from search import registry
from search.cli.text import table


def list_plugins(kind: str | None, *, plugins: Sequence[Path], json: bool) -> None:
    """Print the plugins of one kind, or of all.

    Raises:
        PluginError: an unknown kind.
    """
    for file in plugins:
        registry.load_plugin_file(file)
    kinds = registry.KINDS if kind is None else (_singular(kind),)
    found = [info for k in kinds for info in registry.describe(k)]
    if json:
        print(json_module.dumps([dataclasses.asdict(info) for info in found], indent=1))
        return
    for k in kinds:
        rows = [(i.name, i.doc, i.distribution) for i in found if i.kind == k]
        if rows or kind is not None:
            print(f"{k}\n{table(('name', 'what', 'from'), rows, indent='  ')}\n")


def _singular(kind: str) -> str:
    """``searchers`` is as good as ``searcher``."""
    return kind[:-1] if kind not in registry.KINDS and kind[:-1] in registry.KINDS else kind
