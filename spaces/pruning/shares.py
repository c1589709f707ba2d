"""From plans, and from shares given by hand, back to the entries of ``keep``."""

from __future__ import annotations

from collections.abc import Mapping

from search.api.candidate import Violation
from search.api.errors import ConfigError, InfeasibleCandidate
from spaces.pruning.layout import Layout, Piece, Pruned, units_kept
from spaces.pruning.plan import LayerPruning, PruningPlan

Shares = Mapping[str, float | Mapping[str, float]]


def of_plan(layout: Layout, plan: PruningPlan, low: float) -> tuple[list[float], list[int]]:
    """The entries of ``keep`` that give ``plan``, and the way that each pruned layer takes.

    Args:
        layout: of the entries.
        plan: layers without an entry are whole.
        low: smallest share; entries that no layer reads become 1.

    Raises:
        InfeasibleCandidate: no entries give it.
    """
    known = {pruned.layer.name for pruned in layout.layers}
    for entry in plan.layers:
        if entry.site not in known and entry.kept < entry.units:
            raise _refused("structure", f"{entry.site}: it stays whole here; got {_told(entry)}")
    # For each entry, the shares that round to the units kept: [least, most), and the nearest.
    spans: dict[int, tuple[float, float, float, str]] = {}
    ways = []
    for pruned in layout.layers:
        entries = {entry.structure: entry for entry in plan.of(pruned.layer.name)}
        way = _way(pruned, entries)
        ways.append(way)
        for piece in pruned.ways[way]:
            kept = _units(pruned, piece, entries.get(piece.structure))
            if piece.slot is None:
                if kept != piece.kept:
                    raise _refused(
                        "fixed",
                        f"{pruned.layer.name}: {piece.structure} is fixed at {piece.kept} of "
                        f"{piece.units} units; got {kept}",
                        abs(kept - piece.kept),
                    )
                continue
            share = min(1.0, max(low, kept / piece.units))
            if units_kept(share, piece.units) != kept:
                got = kept / piece.units
                detail = f"{pruned.layer.name}: got a share of {got:g}; expected {low:g} to 1"
                raise _refused("domain", detail, low - got)
            # Below two units the least one is kept, whatever the share.
            least = (kept - 0.5) / piece.units if kept > 1 else 0.0
            span = (least, (kept + 0.5) / piece.units, share, pruned.layer.name)
            old = spans.get(piece.slot, span)
            spans[piece.slot] = _both(old, span, piece, kept)
    values = [1.0] * len(layout.slots)
    for slot, (least, most, share, _) in spans.items():
        values[slot] = share if least <= share < most else max(low, (least + min(1.0, most)) / 2)
    return values, ways


def of_sites(layout: Layout, shares: Shares, low: float) -> tuple[float, ...]:
    """The entries of ``keep`` for shares given by hand.

    Args:
        layout: of the entries.
        shares: layer -> share, or structure -> share.
        low: smallest share.

    Raises:
        ConfigError: see :meth:`spaces.pruning.space.PruningRatio.kept_vector`.
    """
    found: dict[int, tuple[float, str]] = {}
    for pruned in layout.layers:
        name = pruned.layer.name
        given = shares.get(name)
        pieces = {(p.structure, p.slot): p for way in pruned.ways for p in way}
        for piece in pieces.values():
            if piece.slot is None:
                continue
            share = given.get(piece.structure) if isinstance(given, Mapping) else given
            several = not isinstance(given, Mapping) and max(map(len, pruned.ways)) > 1
            if share is None or several and share != 1.0:
                raise ConfigError(f"no share for {piece.structure} (got {given!r})",
                                  path=f"keep.{name}")  # fmt: skip
            if not low <= share <= 1:
                raise ConfigError(f"expected {low:g} to 1 (got {share!r})", path=f"keep.{name}")
            old, other = found.setdefault(piece.slot, (float(share), name))
            if old != share:
                raise ConfigError(f"expected {old:g} as for {other}, with which it shares an entry "
                                  f"(got {share:g})", path=f"keep.{name}")  # fmt: skip
    return tuple(found[slot][0] for slot in range(len(layout.slots)))


def _way(pruned: Pruned, entries: Mapping[str, LayerPruning]) -> int:
    """The way whose structures are those of the plan's entries; the first for a whole layer."""
    for index, way in enumerate(pruned.ways):
        if {piece.structure for piece in way} == set(entries):
            return index
    lost = [entry for entry in entries.values() if entry.kept < entry.units]
    for index, way in enumerate(pruned.ways):
        if {piece.structure for piece in way} >= {entry.structure for entry in lost}:
            return index
    got = "+".join(entry.structure for entry in lost)
    raise _refused(
        "structure", f"{pruned.layer.name}: got {got}; expected {' or '.join(pruned.names)}"
    )


def _units(pruned: Pruned, piece: Piece, entry: LayerPruning | None) -> int:
    if entry is None:
        return piece.units
    if entry.units != piece.units or not 1 <= entry.kept <= entry.units:
        raise _refused(
            "structure", f"{pruned.layer.name}: got {_told(entry)}; it has {piece.units} units"
        )
    return entry.kept


def _both(
    old: tuple[float, float, float, str],
    new: tuple[float, float, float, str],
    piece: Piece,
    kept: int,
) -> tuple[float, float, float, str]:
    """Shares that both layers round alike."""
    least, most = max(old[0], new[0]), min(old[1], new[1])
    if least >= most:
        excess = max(1.0, abs(old[2] - new[2]) * piece.units)
        detail = f"{new[3]}: got {kept} of {piece.units} units of {piece.structure}; it shares an "
        raise _refused(
            "agreement", f"{detail}entry with {old[3]}, which keeps {old[2]:.4g}", excess
        )
    return least, most, new[2] if least <= new[2] < most else old[2], old[3]


def _told(entry: LayerPruning) -> str:
    return f"{entry.kept} of {entry.units} units of {entry.structure}"


def _refused(rule: str, detail: str, excess: float = 1.0) -> InfeasibleCandidate:
    return InfeasibleCandidate([Violation(rule, detail, float(excess), "1")])
