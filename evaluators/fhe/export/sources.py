"""Source of modules with all they import of ours, to be run without this project.

The text is that of the modules; only their package is called otherwise. What they import at the
top counts, not what functions import for themselves: that is not used where the copy runs.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

OURS = "evaluators.fhe"
PACKAGE = "ckks_engine"
"""Name of the package that is written."""
MAY_IMPORT = frozenset({"numpy", "tenseal"})
"""What copies may import besides the standard library and each other."""

_IMPORT = re.compile(rf"^(\s*(?:from|import)\s+){re.escape(OURS)}(?=[.\s])", re.MULTILINE)


def copies(start: str) -> dict[str, str]:
    """Path -> text of ``start`` and all it imports below :data:`OURS`.

    Args:
        start: a module below :data:`OURS`; it becomes a script of its own beside the package.

    Raises:
        ImportError: one of them imports something else than :data:`MAY_IMPORT`.
    """
    found = {f"{start.rpartition('.')[2]}.py": renamed(_source(start))}
    for module in sorted(closure(start) - {start}):
        path = module.removeprefix(f"{OURS}.").replace(".", "/")
        found[f"{PACKAGE}/{path}.py"] = renamed(_source(module))
    for folder in {str(Path(name).parent) for name in found} - {"."}:
        found[f"{folder}/__init__.py"] = f'"""Copied from {OURS} of cipher-search."""\n'
    return found


def closure(start: str) -> set[str]:
    """``start`` and the modules below :data:`OURS` that it imports, and these, and so on.

    Raises:
        ImportError: one of them imports something else than :data:`MAY_IMPORT`.
    """
    found: set[str] = set()
    waiting = [start]
    while waiting:
        module = waiting.pop()
        if module in found:
            continue
        found.add(module)
        for name in imported(_source(module)):
            if name.startswith(f"{OURS}."):
                waiting.append(name)
            elif name.partition(".")[0] not in MAY_IMPORT | sys.stdlib_module_names:
                raise ImportError(f"{module} imports {name}, so it cannot be copied")
    return found


def imported(source: str) -> Iterator[str]:
    """Modules that ``source`` imports at its top, those for type checking left out."""
    for node in ast.parse(source).body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if node.module.startswith(OURS) and _file(inner) else node.module


def renamed(source: str) -> str:
    """``source`` with imports from :data:`PACKAGE` in place of :data:`OURS`."""
    return _IMPORT.sub(rf"\1{PACKAGE}", source)


def _source(module: str) -> str:
    file = _file(module)
    if file is None:
        raise ImportError(f"no source of {module}")
    return file.read_text(encoding="utf-8")


def _file(module: str) -> Path | None:
    """File of a module; None if there is no such module, or it is a package."""
    try:
        spec = find_spec(module)
    except ModuleNotFoundError:
        return None
    path = Path(spec.origin) if spec is not None and spec.origin else None
    return path if path is not None and path.suffix == ".py" and path.stem != "__init__" else None
