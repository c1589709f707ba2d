"""Sites of shipped networks on disk, so that checking a configuration need not load PyTorch.

Tracing a network is cheap, importing PyTorch for it is not (1 to 3 s). What tracing finds is a
function of the network's options, the shapes of its data, our own source and the version of
PyTorch: all of them are in the key, so an entry never goes stale, it is only no longer asked for.
Networks of other packages and of ``--plugin`` files are not kept: their source may reach anywhere.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from search import registry
from search.api.network import Site
from search.workloads.data.options import cache_directory

_OURS = "search.workloads.networks."
_SOURCES = ("*.py", "networks/*.py")


@dataclass(frozen=True)
class Traced:
    """What tracing a network gives.

    Args:
        sites: every operator in execution order.
        structure: what identifies the network besides its weights.
        options: its options as plain data, defaults written out.
        links: site -> sites whose results it reads.
    """

    sites: tuple[Site, ...]
    structure: tuple[str, ...]
    options: Mapping[str, Any]
    links: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def key_of(
    name: str, options: Mapping[str, Any], input_shape: tuple[int, ...], classes: int
) -> str | None:
    """Key of a registered network; None if it is not to be kept.

    Args:
        name: registered name.
        options: as given, unchecked: an entry exists only for options that passed.
        input_shape: ``(C, H, W)``.
        classes: number of classes.
    """
    target = registry.target("network", name)
    torch_version = _version("torch")
    if target is None or not target.startswith(_OURS) or torch_version is None:
        return None
    try:
        facts = json.dumps(
            [target, options, input_shape, classes, _source_digest(), torch_version],
            sort_keys=True,
        )
    except TypeError:  # an option that is no plain data cannot come from a configuration
        return None
    return hashlib.sha256(facts.encode()).hexdigest()[:32]


def read(key: str | None) -> Traced | None:
    """The entry, or None where there is none that can be read."""
    if key is None:
        return None
    try:
        data = json.loads(_file(key).read_text(encoding="utf-8"))
        return Traced(
            sites=tuple(_site(entry) for entry in data["sites"]),
            structure=tuple(data["structure"]),
            options=data["options"],
            links={site: tuple(read) for site, read in data["links"].items()},
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def write(key: str | None, traced: Traced) -> None:
    """Keep an entry. A cache that cannot be written is no fault: it is then made again."""
    if key is None:
        return
    data = {
        "sites": [asdict(site) for site in traced.sites],
        "structure": list(traced.structure),
        "options": dict(traced.options),
        "links": {site: list(read) for site, read in traced.links.items()},
    }
    with contextlib.suppress(OSError, TypeError):
        file = _file(key)
        file.parent.mkdir(parents=True, exist_ok=True)
        scratch = file.with_name(f".{file.name}.{os.getpid()}")
        scratch.write_text(json.dumps(data), encoding="utf-8")
        scratch.replace(file)


def _file(key: str) -> Path:
    return cache_directory() / "sites" / f"{key}.json"


def _site(data: Mapping[str, Any]) -> Site:
    shapes = {name: tuple(data[name]) for name in ("input_shape", "output_shape")}
    return Site(**{**data, **shapes})


@cache
def _source_digest() -> str:
    """SHA-256 of all source that tracing may depend on."""
    here = Path(__file__).parent
    whole = hashlib.sha256()
    for pattern in _SOURCES:
        for file in sorted(here.glob(pattern)):
            whole.update(file.name.encode() + b"\0" + file.read_bytes() + b"\0")
    return whole.hexdigest()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
