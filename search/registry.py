"""Names to plugin classes. Entry points are the index; nothing is loaded before it is named.

Our own plugins stand in the same table as everybody else's (``pyproject.toml``). A notebook or a
``--plugin`` file adds to a process-local overlay with :func:`register`.
"""

from __future__ import annotations

import ast
import difflib
import importlib
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, TypeVar

from search.api.errors import MissingExtra, PluginError

KINDS = (
    "space",
    "method",
    "evaluator",
    "searcher",
    "runner",
    "workload",
    "network",
    "dataset",
    "exporter",
    "advisor",
    "chat_model",
)

DISTRIBUTION = "cipher-search"
OWN_PACKAGES = ("search", "spaces", "evaluators", "agents")
"""Import packages of this distribution. Each says so in ``__dist__``."""

NO_SOURCE = "(source not found)"
"""Doc of a plugin whose module is not there."""

T = TypeVar("T")

# The only mutable module state of the project: what this process registered itself.
_overlay: dict[tuple[str, str], Any] = {}


@dataclass(frozen=True)
class PluginInfo:
    """One line of ``search list``: what there is, who ships it, and its one-line doc."""

    kind: str
    name: str
    target: str
    distribution: str
    doc: str


def register(kind: str, name: str) -> Callable[[T], T]:
    """Class decorator: make a plugin known to this process under ``name``.

    Raises:
        PluginError: unknown kind, or the name is taken by another class.
    """
    _check_kind(kind)

    def add(plugin: T) -> T:
        taken = _overlay.get((kind, name))
        if taken is not None and _target(taken) != _target(plugin):
            raise PluginError(f"{kind} {name!r} is registered already, by {_target(taken)}")
        if taken is None and name in _index(kind):
            raise PluginError(
                f"{kind} {name!r} is taken by {_index(kind)[name].value}; choose another name"
            )
        _overlay[kind, name] = plugin
        return plugin

    return add


def names(kind: str) -> list[str]:
    """All known names of one kind, sorted; loads nothing."""
    _check_kind(kind)
    return sorted({*_index(kind), *(n for k, n in _overlay if k == kind)})


def load(kind: str, name: str) -> Any:
    """The plugin class (or factory) called ``name``.

    Raises:
        PluginError: no such name (the nearest known one is suggested), or loading failed.
        MissingExtra: an optional dependency of the plugin is not installed.
    """
    _check_kind(kind)
    if (kind, name) in _overlay:
        return _overlay[kind, name]
    entry = _index(kind).get(name)
    if entry is None:
        raise PluginError(_unknown(kind, name))
    try:
        _check_owner(entry)
        return entry.load()
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing in OWN_PACKAGES:
            raise PluginError(
                f"{kind} {name!r}: cannot import {error.name} (needed by {entry.value}). "
                "Run `search doctor`."
            ) from error
        raise MissingExtra(
            f"{kind} {name!r} needs the package {missing!r}, which is not installed. "
            "Run `search doctor` for the command that installs it."
        ) from error
    except (ImportError, AttributeError) as error:
        raise PluginError(
            f"{kind} {name!r} of {_distribution(entry)} does not load: {error}"
        ) from error


def target(kind: str, name: str) -> str | None:
    """``module:Class`` behind an installed name; None for one that this process registered."""
    _check_kind(kind)
    entry = _index(kind).get(name)
    return None if entry is None or (kind, name) in _overlay else entry.value


def keywords(kind: str, name: str) -> list[str] | None:
    """Keyword-only parameters of an installed factory, read from source without importing it.

    None where that cannot be told: another process-local plugin, no function, or ``**options``.
    """
    node = None if target(kind, name) is None else _definition(_index(kind)[name])
    if not isinstance(node, ast.FunctionDef) or node.args.kwarg is not None:
        return None
    return [argument.arg for argument in node.args.kwonlyargs]


def describe(kind: str) -> list[PluginInfo]:
    """All plugins of one kind with one-line docs, read from source without importing them."""
    found = []
    for name in names(kind):
        if (kind, name) in _overlay:
            plugin = _overlay[kind, name]
            doc = (plugin.__doc__ or "").strip().partition("\n")[0]
            found.append(PluginInfo(kind, name, _target(plugin), "this process", doc))
        else:
            entry = _index(kind)[name]
            found.append(
                PluginInfo(kind, name, entry.value, _distribution(entry), _source_doc(entry))
            )
    return found


def load_plugin_file(path: Path) -> None:
    """Run a Python file given with ``--plugin`` so that its ``@register`` lines take effect.

    Raises:
        PluginError: the file is missing or raises.
    """
    if not path.is_file():
        raise PluginError(f"--plugin {path}: no such file")
    name = "cipher_search_plugin_" + path.stem
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise PluginError(f"--plugin {path}: not a Python file")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except PluginError:
        raise
    except Exception as error:  # noqa: BLE001  # user code: any failure is theirs to read
        raise PluginError(f"--plugin {path}: {type(error).__name__}: {error}") from error


def _check_owner(entry: EntryPoint) -> None:
    """Refuse a foreign package that hides one of ours: ``evaluators`` is a common name.

    Raises:
        PluginError: the top package of our own plugin is not ours.
    """
    top = entry.module.partition(".")[0]
    if top not in OWN_PACKAGES or entry.dist is None or entry.dist.name != DISTRIBUTION:
        return
    package = importlib.import_module(top)
    if getattr(package, "__dist__", None) != DISTRIBUTION:
        where = getattr(package, "__file__", None) or list(getattr(package, "__path__", ["?"]))[0]
        raise PluginError(
            f"the package {top!r} at {where} is not that of {DISTRIBUTION}: another distribution "
            "or folder of that name comes first on the import path. Run `search doctor`."
        )


@cache
def _index(kind: str) -> dict[str, EntryPoint]:
    found: dict[str, EntryPoint] = {}
    for entry in entry_points(group=f"cipher_search.{kind}s"):
        other = found.get(entry.name)
        if other is not None and other.value != entry.value:
            raise PluginError(
                f"{kind} {entry.name!r} is shipped twice: by {_distribution(other)} "
                f"({other.value}) and by {_distribution(entry)} ({entry.value}); uninstall one"
            )
        found[entry.name] = entry
    return found


def _unknown(kind: str, name: str) -> str:
    known = names(kind)
    if not known and not _index("space"):
        return (
            f"unknown {kind} {name!r}: no plugin is installed. In a checkout, run "
            "`pip install -e .` once so that the plugin table exists."
        )
    near = difflib.get_close_matches(name, known, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return f"unknown {kind} {name!r} (known: {', '.join(known) or 'none'}).{hint}"


def _check_kind(kind: str) -> None:
    if kind not in KINDS:
        raise PluginError(f"unknown plugin kind {kind!r} (known: {', '.join(KINDS)})")


def _target(plugin: Any) -> str:
    module = getattr(plugin, "__module__", "?")
    return f"{module}:{getattr(plugin, '__qualname__', repr(plugin))}"


def _distribution(entry: EntryPoint) -> str:
    dist = entry.dist
    return f"{dist.name} {dist.version}" if dist is not None else "an unknown distribution"


def _source_doc(entry: EntryPoint) -> str:
    """First docstring line of an entry point's target, without running its module."""
    if _source_path(entry.module) is None:
        return NO_SOURCE
    node = _definition(entry)
    return "" if node is None else (ast.get_docstring(node) or "").partition("\n")[0]


def _definition(entry: EntryPoint) -> ast.ClassDef | ast.FunctionDef | None:
    """Syntax tree of an entry point's target; None if it is not defined in its module."""
    path = _source_path(entry.module)
    tree = ast.parse("" if path is None else path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, (ast.ClassDef, ast.FunctionDef)) and node.name == entry.attr:
            return node
    return None


def _source_path(module: str) -> Path | None:
    """File of ``module``, found without importing its parents."""
    top, *rest = module.split(".")
    spec = importlib.util.find_spec(top)
    if spec is not None and not rest and (spec.origin or "").endswith(".py"):
        return Path(str(spec.origin))  # a module without a package has no folder to look in
    for base in (spec.submodule_search_locations or []) if spec else []:
        stem = Path(base, *rest)
        for candidate in (stem.with_suffix(".py"), stem / "__init__.py"):
            if candidate.is_file():
                return candidate
    return None
