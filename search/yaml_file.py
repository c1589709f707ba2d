"""Reading YAML safely: plain data only, no duplicate keys, YAML 1.2 scalars, bounded size.

Errors are :class:`~search.api.errors.ConfigError` with file, line and path. Nothing in a file can
run code or import a module, and a file built to blow up in memory is refused before it does.
"""

from __future__ import annotations

import re
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from search.api.errors import ConfigError

MAX_BYTES = 262_144
MAX_NODES = 50_000
MAX_DEPTH = 40


# The C parser is about ten times quicker; both build the same nodes.
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _PlainLoader(_Loader):  # type: ignore[misc]  # chosen at run time
    """Safe loader with the scalars of YAML 1.2: ``1e-3`` is a number, ``on`` is a word."""


_PlainLoader.yaml_implicit_resolvers = {}
_BOOL = re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$")
_NULL = re.compile(r"^(?:~|null|Null|NULL|)$")
_INT = re.compile(r"^[-+]?\d+$")
_FLOAT = re.compile(
    r"^[-+]?(?:\d+\.\d*|\.\d+|\d+)(?:[eE][-+]?\d+)?$|^[-+]?\.(?:inf|Inf|INF)$|^\.nan$"
)
_PlainLoader.add_implicit_resolver("tag:yaml.org,2002:bool", _BOOL, list("tTfF"))
_PlainLoader.add_implicit_resolver("tag:yaml.org,2002:null", _NULL, ["~", "n", "N", ""])
_PlainLoader.add_implicit_resolver("tag:yaml.org,2002:int", _INT, list("-+0123456789"))
_PlainLoader.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+.0123456789"))


def _plain_int(loader: Any, node: yaml.ScalarNode) -> int:
    return int(node.value)


def _plain_float(loader: Any, node: yaml.ScalarNode) -> float:
    return float(node.value.lower().replace(".inf", "inf").replace(".nan", "nan"))


# A scalar tagged int with a leading zero would be octal in YAML 1.1; people mean decimal.
_PlainLoader.add_constructor("tag:yaml.org,2002:int", _plain_int)
_PlainLoader.add_constructor("tag:yaml.org,2002:float", _plain_float)


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in the YAML file at ``path``.

    Raises:
        ConfigError: missing or unreadable file, too large, not UTF-8, not YAML, tags that would
            build objects, duplicate keys, or anything but a mapping at the top.
    """
    source = str(path)
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise ConfigError(
                f"file is too large (got {size:,} bytes; expected at most {MAX_BYTES:,})",
                source=source,
            )
        raw = path.read_bytes()
    except FileNotFoundError:
        raise ConfigError("no such file", source=source) from None
    except IsADirectoryError:
        raise ConfigError("is a directory (expected a YAML file)", source=source) from None
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}", source=source) from error
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"not UTF-8 text (byte {error.start} is 0x{raw[error.start]:02x}). Save it as UTF-8",
            source=source,
        ) from None
    return parse_yaml(text, source)


def parse_yaml(text: str, source: str) -> dict[str, Any]:
    """The mapping in ``text``; see :func:`read_yaml`."""
    data = _construct(text, source)
    if data is None:
        raise ConfigError("file is empty (expected a study configuration)", source=source)
    if not isinstance(data, dict):
        raise ConfigError(f"expected a mapping at the top (got a {_kind(data)})", source=source)
    return data


def parse_scalar(text: str) -> Any:
    """A value as YAML would read it, for ``--set a.b=value``.

    Raises:
        ConfigError: ``text`` is not YAML.
    """
    return _construct(text, "--set")


def _construct(text: str, source: str) -> Any:
    try:
        _check_depth(text, source)
        return _build(text, source)
    except RecursionError:
        raise ConfigError("nested too deeply", source=source) from None
    except yaml.constructor.ConstructorError as error:
        mark = error.problem_mark
        raise ConfigError(
            f"{error.problem} (only plain values are allowed)", source=_at(source, mark)
        ) from None
    except yaml.MarkedYAMLError as error:
        what = " ".join(p for p in (error.context, error.problem) if p)
        raise ConfigError(
            f"not valid YAML: {what}", source=_at(source, error.problem_mark)
        ) from None
    except yaml.YAMLError as error:
        what = " ".join(str(error).split())  # one line
        raise ConfigError(f"not valid YAML: {what}", source=source) from None
    except ValueError as error:
        raise ConfigError(f"a number cannot be read: {error}", source=source) from None


def _build(text: str, source: str) -> Any:
    loader = _PlainLoader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        _check_node(node, source)
        return loader.construct_document(node)
    finally:
        loader.dispose()


def _check_depth(text: str, source: str) -> None:
    """Refuse deep nesting before nodes are made of it: the C composer recurses without a limit."""
    depth = 0
    for event in yaml.parse(text, Loader=_PlainLoader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > MAX_DEPTH:
            raise ConfigError("nested too deeply", source=_at(source, event.start_mark))


def _check_node(root: yaml.Node, source: str) -> None:
    """Refuse duplicate keys, recursive aliases, deep nesting, and expansion bombs."""
    sizes: dict[int, int] = {}
    open_nodes: set[int] = set()

    def visit(node: yaml.Node, path: str, depth: int) -> int:
        if id(node) in open_nodes:
            raise ConfigError(
                "an alias contains itself", path=path, source=_at(source, node.start_mark)
            )
        if depth > MAX_DEPTH:
            raise ConfigError("nested too deeply", path=path, source=_at(source, node.start_mark))
        if id(node) in sizes:
            return sizes[id(node)]
        open_nodes.add(id(node))
        total = 1
        if isinstance(node, yaml.MappingNode):
            seen: set[Hashable] = set()
            for key, value in node.value:
                here = f"{path}.{key.value}" if path else str(key.value)
                if not isinstance(key, yaml.ScalarNode):
                    raise ConfigError(
                        "a key must be a word", path=path, source=_at(source, key.start_mark)
                    )
                if key.value in seen:
                    raise ConfigError(
                        "this key stands twice in the same mapping; remove one",
                        path=here,
                        source=_at(source, key.start_mark),
                    )
                seen.add(key.value)
                total += 1 + visit(value, here, depth + 1)
        elif isinstance(node, yaml.SequenceNode):
            for index, value in enumerate(node.value):
                total += visit(value, f"{path}[{index}]", depth + 1)
        open_nodes.discard(id(node))
        sizes[id(node)] = total
        if total > MAX_NODES:
            raise ConfigError(
                f"too many values (aliases expand to more than {MAX_NODES:,})",
                path=path,
                source=source,
            )
        return total

    visit(root, "", 0)


def _at(source: str, mark: Any) -> str:
    return f"{source}:{mark.line + 1}" if mark is not None else source


def _kind(value: Any) -> str:
    return {list: "list", str: "text", int: "number", float: "number", bool: "true/false"}.get(
        type(value), type(value).__name__
    )
