"""docs/plugins.md is what the plugins say."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def maker() -> ModuleType:
    """The script that makes the page."""
    spec = importlib.util.spec_from_file_location(
        "make_plugin_pages", DOCS / "make_plugin_pages.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_page_is_up_to_date(maker: ModuleType) -> None:
    page = (DOCS / "plugins.md").read_text(encoding="utf-8")
    assert page == maker.page(), "run: python docs/make_plugin_pages.py"


def test_values_are_put_in_words(maker: ModuleType) -> None:
    assert maker.value({"type": "integer", "minimum": 1}, {}) == "integer >= 1"
    assert maker.value({"anyOf": [{"type": "string"}, {"type": "null"}]}, {}) == "text"
    assert maker.value({"enum": ["a", "b"]}, {}) == "`a`, `b`"
    assert maker.value({"type": "array", "items": {"type": "number"}}, {}) == "list of number"


def test_defaults_stand_as_in_yaml(maker: ModuleType) -> None:
    assert maker.shown(None) == "none"
    assert maker.shown(True) == "`true`"
    assert maker.shown({"real": [0.1, 1]}) == "`{real: [0.1, 1]}`"
