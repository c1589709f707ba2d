"""Write a report: which files, in what order, whole or not at all."""

from __future__ import annotations

import difflib
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from search.api.errors import ConfigError, StoreError
from search.api.snapshot import Snapshot
from search.report.family import Family, family_of
from search.report.layers import has_layers, render_layers
from search.report.members import has_members, render_members

FILES: Mapping[str, str] = {
    "md": "report.md",
    "json": "report.json",
    "csv": "trials.csv",
    "html": "report.html",
    "png": "pareto.png",
    "svg": "pareto.svg",
}
"""Format -> file name."""

_PICTURES = ("png", "svg")
_BESIDE: Mapping[str, tuple[Callable[[Family], bool], Callable[[Family, str], bytes]]] = {
    "members": (has_members, render_members),
    "layers": (has_layers, render_layers),
}
"""Pictures beside that of the front: name -> (whether a family has it, what draws it)."""

FORMATS: tuple[str, ...] = tuple(FILES)


def write_report(
    snapshots: Sequence[Snapshot],
    directory: str | os.PathLike[str],
    formats: Sequence[str] = FORMATS,
    *,
    reference: Mapping[str, float] | None = None,
) -> dict[str, Path]:
    """Write the report of one study family into ``directory``, which is made if need be.

    A file appears whole or not at all; older reports are replaced. Trials that are sets of networks
    give a picture ``members.png`` or ``members.svg`` beside each of the front, pruned networks
    ``layers.png`` or ``layers.svg``.

    Args:
        snapshots: the arms; the one named ``main``, else the first, is what others are compared
            with. All arms must have the same objectives in the same units.
        directory: where the files go.
        formats: which of :data:`FORMATS`.
        reference: objective name -> reference value of the hypervolume, in the objective's unit,
            for a comparison across families. Objectives that are left out take the worst value
            among the completed trials of all arms and a tenth of the range beyond it.

    Returns:
        Format -> file.

    Raises:
        ConfigError: no snapshots, arms that do not belong together, or an unknown format.
        StoreError: the directory cannot be written.
    """
    for name in formats:
        if name not in FILES:
            near = difflib.get_close_matches(str(name), FORMATS, n=1)
            hint = f". Did you mean {near[0]!r}?" if near else ""
            raise ConfigError(f"unknown format {name!r} (expected {', '.join(FORMATS)}){hint}",
                              source="report")  # fmt: skip
    family = family_of(snapshots, reference)
    target = Path(directory)
    written: dict[str, Path] = {}
    try:
        target.mkdir(parents=True, exist_ok=True)
        for name in dict.fromkeys(formats):
            written[name] = target / FILES[name]
            _replace(written[name], _renderer(name, formats)(family))
        for name in dict.fromkeys(n for n in formats if n in _PICTURES):
            for beside, (has, render) in _BESIDE.items():
                if has(family):
                    _replace(target / f"{beside}.{name}", render(family, name))
    except OSError as error:
        raise StoreError(f"report: cannot write to {target} ({error})") from error
    return written


def _renderer(name: str, formats: Sequence[str]) -> Callable[[Family], bytes]:
    """The function that makes the bytes of a format; imports no more than that format needs."""
    if name == "md":
        from search.report.markdown import render_markdown

        form = next((form for form in _PICTURES if form in formats), "")

        def markdown(family: Family) -> bytes:
            beside = {n: f"{n}.{form}" for n, (has, _) in _BESIDE.items() if form and has(family)}
            return _encode(render_markdown(family, FILES[form] if form else "", **beside))

        return markdown
    if name == "json":
        from search.report.json_file import render_json

        return lambda family: _encode(render_json(family))
    if name == "csv":
        from search.report.csv_file import render_csv

        return lambda family: _encode(render_csv(family))
    if name == "html":
        from search.report.html import render_html

        return lambda family: _encode(render_html(family))
    from search.report.figures import render_figure

    return lambda family: render_figure(family, name)


def _encode(text: str) -> bytes:
    # File names in error messages may hold bytes that are no characters (lone surrogates).
    return text.encode("utf-8", "backslashreplace")


def _replace(path: Path, content: bytes) -> None:
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        # mkstemp gives 0600; a report is to be read by whoever may read its directory.
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
