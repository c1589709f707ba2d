"""How entries of the parameters belong to layers: which share a value, which are not chosen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass

from search.api.errors import ConfigError
from spaces.pruning.agreement import Agreement
from spaces.pruning.options import Alternatives
from spaces.pruning.units import Layer

Fixed = float | Mapping[str, float]


@dataclass(frozen=True)
class Piece:
    """One structure in which a layer is pruned.

    Args:
        structure: its name.
        units: there are.
        slot: entry of ``keep`` that says how many stay; None if fixed.
        kept: units that stay if fixed.
    """

    structure: str
    units: int
    slot: int | None
    kept: int = 0


@dataclass(frozen=True)
class Pruned:
    """A layer that may lose weights.

    Args:
        layer: itself.
        ways: for each alternative, its pieces.
        names: of the alternatives, such as ``filter+column``.
        block: entry of ``structure`` that chooses among them; None if there is one only.
    """

    layer: Layer
    ways: tuple[tuple[Piece, ...], ...]
    names: tuple[str, ...]
    block: int | None


@dataclass(frozen=True)
class Layout:
    """The entries of ``keep`` and ``structure``.

    Args:
        layers: those that may lose weights, in execution order.
        slots: entry of ``keep`` -> the layers it is for, joined by ``=``; with the structure where
            a layer has several entries.
        blocks: entry of ``structure`` -> the layers it is for.
        options: names that ``structure`` chooses from.
        whole: weights of the layers that stay whole.
        total: weights of all layers.
        ties: layers that must drop the same filters, where they drop any.
    """

    layers: tuple[Pruned, ...]
    slots: tuple[str, ...]
    blocks: tuple[str, ...]
    options: tuple[str, ...]
    whole: int
    total: int
    ties: tuple[tuple[str, ...], ...] = ()


def lay_out(
    layers: Sequence[Layer],
    given: Mapping[str, Alternatives],
    agree: Agreement,
    *,
    named: Set[str] = frozenset(),
    skip: Set[str] = frozenset(),
    fixed: Mapping[str, Fixed] | None = None,
    group: int = 4,
    shared: bool = False,
) -> Layout:
    """The layout of a network's layers.

    Args:
        layers: all of them, in execution order.
        given: layer -> alternatives asked for.
        agree: filters that must agree, or cannot be dropped.
        named: layers for which impossible structures are an error; elsewhere they are left out.
        skip: layers that stay whole.
        fixed: layer -> share that is not chosen.
        group: weights in a group of ``nm``.
        shared: one entry of ``keep`` for all.

    Raises:
        ConfigError: a named layer has no such units, or fixed shares that cannot be.
    """
    fixed = dict(fixed or {})
    whole = set(skip) | {name for name, share in fixed.items() if _is_whole(share)}
    usable = {
        layer.name: ()
        if layer.name in whole
        else _usable(layer, given[layer.name], agree.frozen, layer.name in named, group)
        for layer in layers
    }
    partners: dict[str, tuple[str, ...]] = {}
    together: dict[str, tuple[str, ...]] = {}
    for members in agree.groups:
        if _settle(members, usable, named):
            partners |= dict.fromkeys(members, members)
            if any("filter" not in way for way in usable[members[0]]):
                together |= dict.fromkeys(members, members)
    maker = _Maker(fixed, partners, group, shared)
    blocks: dict[tuple[str, ...], int] = {}
    made = []
    for layer in layers:
        ways = usable[layer.name]
        if not ways:
            continue
        block = None
        if len(ways) > 1:
            block = blocks.setdefault(together.get(layer.name, (layer.name,)), len(blocks))
        names = tuple("+".join(way) for way in ways)
        made.append(Pruned(layer, maker.ways(layer, ways), names, block))
    options = dict.fromkeys(n for p in made if p.block is not None for n in p.names)
    return Layout(
        tuple(made),
        tuple(maker.slots),
        tuple("=".join(names) for names in blocks),
        tuple(options),
        sum(layer.weights for layer in layers if not usable[layer.name]),
        sum(layer.weights for layer in layers),
        tuple(dict.fromkeys(partners.values())),
    )


def _is_whole(share: Fixed) -> bool:
    return all(v == 1.0 for v in share.values()) if isinstance(share, Mapping) else share == 1.0


def _usable(
    layer: Layer, ways: Alternatives, frozen: Mapping[str, str], strict: bool, group: int
) -> Alternatives:
    """``ways`` without structures in which ``layer`` cannot lose anything."""
    found: dict[tuple[str, ...], None] = {}
    for way in ways:
        kept = []
        for structure in way:
            why = layer.lacks(structure, group)
            if structure == "filter" and not why:
                why = frozen.get(layer.name, "")
            if not why:
                kept.append(structure)
            elif strict and len(ways) == 1:
                raise ConfigError(
                    f"cannot be pruned by {structure}: {why}", path=f"space.structure.{layer.name}"
                )
        if kept:
            found.setdefault(tuple(kept))
    return tuple(found)


def _settle(members: Sequence[str], usable: dict[str, Alternatives], named: Set[str]) -> bool:
    """Make the members of a group lose filters all or none; True if they may lose some.

    Where they differ in what else they may be pruned by, only ways with filters are left.
    """
    can = [any("filter" in way for way in usable[name]) for name in members]
    if not any(can):
        return False
    if not all(can):
        keeper = members[can.index(False)]
        for name in members:
            if name in named and any("filter" in way for way in usable[name]):
                raise ConfigError(
                    f"cannot be pruned by filter: it must agree with {keeper}, which keeps all. "
                    "Prune both by filter, or neither.",
                    path=f"space.structure.{name}",
                )
            less = (tuple(s for s in way if s != "filter") for way in usable[name])
            usable[name] = tuple(dict.fromkeys(way for way in less if way))
        return False
    if len({usable[name] for name in members}) > 1:
        for name in members:
            usable[name] = tuple(way for way in usable[name] if "filter" in way)
    return True


class _Maker:
    """Makes pieces, and entries of ``keep`` as they are met."""

    def __init__(
        self,
        fixed: Mapping[str, Fixed],
        partners: Mapping[str, tuple[str, ...]],
        group: int,
        shared: bool,
    ) -> None:
        self.fixed, self.partners, self.group, self.shared = fixed, partners, group, shared
        self.slots: list[str] = []
        self.found: dict[tuple[str, int], int] = {}

    def ways(self, layer: Layer, ways: Alternatives) -> tuple[tuple[Piece, ...], ...]:
        """The pieces of each alternative."""
        share = self.fixed.get(layer.name)
        path = f"space.fixed.{layer.name}"
        if isinstance(share, Mapping):
            for structure in share:
                if len(ways) > 1 or structure not in ways[0]:
                    raise ConfigError(
                        f"it is not pruned by {structure} (but by "
                        f"{' or '.join('+'.join(way) for way in ways)})",
                        path=path,
                    )
        elif share is not None and (len(ways) > 1 or len(ways[0]) > 1):
            raise ConfigError(
                "with several structures expected 1.0, or a mapping of one structure or more to "
                f"shares (got {share})",
                path=path,
            )
        several = max(len(way) for way in ways) > 1
        return tuple(
            tuple(self.piece(layer, structure, j, several) for j, structure in enumerate(way))
            for way in ways
        )

    def piece(self, layer: Layer, structure: str, position: int, several: bool) -> Piece:
        """One structure of one layer."""
        units = layer.units(structure, self.group)
        members = self.partners.get(layer.name, ()) if structure == "filter" else ()
        shares = {self.share(name, structure) for name in members or (layer.name,)} - {None}
        if len(shares) > 1:
            raise ConfigError(
                f"{' and '.join(members)} must keep equally many filters "
                f"(got {', '.join(map(str, sorted(s for s in shares if s)))})",
                path=f"space.fixed.{layer.name}",
            )
        for share in shares:
            return Piece(structure, units, None, units_kept(share or 1.0, units))
        return Piece(structure, units, self.slot(layer.name, members, position, structure, several))

    def share(self, name: str, structure: str) -> float | None:
        """The fixed share of one structure of one layer."""
        share = self.fixed.get(name)
        return share.get(structure) if isinstance(share, Mapping) else share

    def slot(
        self, name: str, members: tuple[str, ...], position: int, structure: str, several: bool
    ) -> int:
        """The entry of ``keep``, made where it is new."""
        key = ("", 0) if self.shared else ((members or (name,))[0], position)
        if key not in self.found:
            label = "=".join(members) or name
            if self.shared:
                label = "network"
            elif several:
                label += f"/{structure}"
            self.found[key] = len(self.slots)
            self.slots.append(label)
        return self.found[key]


def units_kept(share: float, units: int) -> int:
    """Whole units nearest to a share of them, at least one."""
    return max(1, int(share * units + 0.5))
