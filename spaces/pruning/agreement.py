"""Filters that must agree: layers whose outputs meet, and layers that cannot lose any.

Where two results are added (residual connections) or multiplied channel by channel, a filter can
be left out only if its partner is left out too, so both layers must keep equally many. A depthwise
convolution has one filter for each channel that it reads, and keeps those of the layer before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from search.api.network import Site

_ELEMENTWISE = ("globalavgpool", "sigmoid", "hardsigmoid", "mul")
"""Operators of kind ``other`` whose output channels are those of the input."""


@dataclass(frozen=True)
class Agreement:
    """What the topology says about filters.

    Args:
        groups: layers that must keep the same number of filters, in execution order; groups of
            one are left out.
        frozen: layer -> why it must keep all its filters.
    """

    groups: tuple[tuple[str, ...], ...]
    frozen: Mapping[str, str]


def agreement(sites: Sequence[Site], links: Mapping[str, Sequence[str]]) -> Agreement:
    """Which layers agree, found by following channels from layer to layer.

    Args:
        sites: in execution order.
        links: site -> sites whose results it reads, as ``workload.links()`` gives them.
    """
    walk = _Walk(sites)
    for site in sites:
        walk.visit(site, [name for name in links.get(site.name, ())])
    read = {name for sources in links.values() for name in sources}
    for site in sites:
        if site.name not in read:
            walk.freeze(walk.channels[site.name], "its filters are the network's outputs")
    return walk.result()


class _Walk:
    """Whose filters the channels of each result are. None: nobody's that could be dropped."""

    def __init__(self, sites: Sequence[Site]) -> None:
        self.layers = [s.name for s in sites if s.kind in ("conv", "linear") and "#" not in s.name]
        self.rows = {
            s.name: s.output_shape[0 if s.kind == "conv" else -1]
            for s in sites
            if s.name in self.layers
        }
        self.parent = {name: name for name in self.layers}
        self.frozen: dict[str, str] = {}
        self.channels: dict[str, tuple[str | None, ...]] = {}

    def visit(self, site: Site, sources: Sequence[str]) -> None:
        """Note whose channels ``site`` gives; ``sources`` is what it reads."""
        read = [channel for source in sources for channel in self.channels[source]]
        if site.kind in ("conv", "linear"):
            own = site.name.split("#")[0]
            self.channels[site.name] = (own,)
            self.grouped(site, own, read)
        elif site.kind == "add" or site.operator == "mul":
            self.channels[site.name] = (self.join(read if len(sources) == 2 else [None, *read]),)
        elif site.kind in ("activation", "pool", "norm") or site.operator in _ELEMENTWISE:
            self.channels[site.name] = tuple(read) or (None,)
        else:
            self.freeze(read, f"{site.name} ({site.operator}) reads its filters")
            self.channels[site.name] = (None,)

    def grouped(self, site: Site, own: str, read: Sequence[str | None]) -> None:
        """A convolution in groups: depthwise ones agree with what they read."""
        groups = site.attributes.get("groups", 1)
        if groups == 1:
            return
        if groups == site.input_shape[0] == site.output_shape[0] and len(read) == 1:
            self.join([own, *read])
        else:
            self.freeze([own, *read], f"{site.name} is a convolution of {groups} groups")

    def join(self, met: Sequence[str | None]) -> str | None:
        """Make two layers agree; any other meeting freezes all that meet."""
        names = [name for name in met if name is not None]
        if len(met) == 2 == len(names) and self.rows[names[0]] == self.rows[names[1]]:
            first, second = (self.root(name) for name in names)
            self.parent[second] = first
            return names[0]
        self.freeze(names, "its output meets something else than one equally wide layer's")
        return names[0] if names else None

    def root(self, name: str) -> str:
        """The layer that stands for the group of ``name``."""
        while self.parent[name] != name:
            self.parent[name] = name = self.parent[self.parent[name]]
        return name

    def freeze(self, names: Sequence[str | None], why: str) -> None:
        """These layers keep all their filters."""
        for name in names:
            if name is not None:
                self.frozen.setdefault(name, why)

    def result(self) -> Agreement:
        """Groups and frozen layers; one frozen layer freezes its group."""
        groups: dict[str, list[str]] = {}
        for name in self.layers:
            groups.setdefault(self.root(name), []).append(name)
        frozen = dict(self.frozen)
        for members in groups.values():
            for name in members:
                if name in self.frozen:
                    for other in members:
                        frozen.setdefault(other, f"it must agree with {name}: {self.frozen[name]}")
                    break
        return Agreement(
            tuple(tuple(members) for members in groups.values() if len(members) > 1), frozen
        )
