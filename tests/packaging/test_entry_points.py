"""Every plugin we ship loads and keeps the protocol of its kind."""

from __future__ import annotations

import inspect
import tomllib
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from search import registry
from search.api.errors import PluginError
from search.api.protocols import Configurable

ROOT = Path(__file__).parents[2]
TABLE = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PLUGINS = [
    (group.removeprefix("cipher_search.").removesuffix("s"), name)
    for group, entries in TABLE["entry-points"].items()
    for name in entries
]
MEMBERS = {
    "space": ("kind", "params", "check", "build"),
    "method": ("decides_space", "params", "prepare", "produce"),
    "evaluator": ("metrics", "needs", "evaluate"),
    "searcher": ("name", "reason", "suggest", "start", "finish", "replay"),
    "runner": ("slots", "drain"),
    "workload": ("name", "digest", "sites"),
    "dataset": ("load", "digest", "input_shape", "classes"),
}
CONFIGURED = [(kind, name) for kind, name in PLUGINS if kind in MEMBERS]
EXPORTERS = [name for kind, name in PLUGINS if kind == "exporter"]


def test_kinds_are_known() -> None:
    assert {kind for kind, _ in PLUGINS} <= set(registry.KINDS)


@pytest.mark.parametrize(("kind", "name"), PLUGINS)
def test_plugin_loads_and_is_documented(kind: str, name: str) -> None:
    plugin = registry.load(kind, name)
    assert plugin.__module__.partition(".")[0] in {"search", "spaces", "evaluators", "agents"}
    assert inspect.getdoc(plugin)
    (info,) = [i for i in registry.describe(kind) if i.name == name]
    assert info.doc == (inspect.getdoc(plugin) or "").partition("\n")[0]
    assert info.distribution.startswith("cipher-search ")


@pytest.mark.parametrize(("kind", "name"), CONFIGURED)
def test_plugin_keeps_its_protocol(kind: str, name: str) -> None:
    plugin = registry.load(kind, name)
    # Members may be set by the constructor, so an annotation or an assignment there counts.
    source = "".join(
        inspect.getsource(c) for c in plugin.__mro__ if c.__module__.partition(".")[0] != "builtins"
    )
    missing = [m for m in MEMBERS[kind] if not hasattr(plugin, m) and f"self.{m}" not in source]
    assert not missing


@pytest.mark.parametrize(("kind", "name"), CONFIGURED)
def test_plugin_is_made_from_checked_options(kind: str, name: str) -> None:
    plugin: Any = registry.load(kind, name)
    assert isinstance(plugin, Configurable)
    config: Any = plugin.Config
    assert issubclass(config, BaseModel)
    assert config.model_config.get("extra") == "forbid"
    assert config.model_config.get("frozen") is True
    assert inspect.getdoc(config)
    silent = [key for key, field in config.model_fields.items() if not field.description]
    assert not silent, f"options without a description: {silent}"
    arguments = list(inspect.signature(plugin.from_config).parameters)
    assert len(arguments) == 2


@pytest.mark.parametrize("name", [n for kind, n in PLUGINS if kind == "network"])
def test_network_takes_shape_and_classes(name: str) -> None:
    factory = registry.load("network", name)
    parameters = list(inspect.signature(factory).parameters.values())
    assert [p.name for p in parameters[:2]] == ["input_shape", "classes"]
    assert all(p.kind is p.KEYWORD_ONLY for p in parameters[2:])


def test_unknown_names_are_refused_with_the_nearest() -> None:
    with pytest.raises(PluginError, match="Did you mean 'accuracy'"):
        registry.load("evaluator", "acuracy")


def test_needs_of_evaluators_are_known_words() -> None:
    for kind, name in PLUGINS:
        if kind == "evaluator":
            needs = getattr(registry.load(kind, name), "needs", frozenset())
            if isinstance(needs, frozenset):
                assert needs <= {"weights", "data"}


@pytest.mark.parametrize("name", EXPORTERS)
def test_an_exporter_is_named_like_the_kind_of_a_space(name: str) -> None:
    assert callable(registry.load("exporter", name)().export)
    assert callable(registry.load("exporter", name)().network)
    kinds = {registry.load("space", space).kind for kind, space in PLUGINS if kind == "space"}
    assert name in kinds
