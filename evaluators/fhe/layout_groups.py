"""Tensors that share a layout, and the layouts that are worth comparing for them.

Squares, polynomials and additions work slot by slot, so all tensors joined by them form a *group*
with one layout. Linear maps lead from group to group.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import TYPE_CHECKING

from evaluators.fhe.layout import gaps, phases, power, rows, spread

if TYPE_CHECKING:
    from evaluators.fhe.graph import Graph, Node
    from evaluators.fhe.packed import Layout

_LARGEST_STRIDE = 8


@dataclass(frozen=True)
class Group:
    """Tensors with one layout.

    Args:
        nodes: whose results they are.
        makers: linear maps that make some of them.
        readers: linear maps that read them.
        shape: of each.
    """

    nodes: tuple[Node, ...]
    makers: tuple[Node, ...]
    readers: tuple[Node, ...]
    shape: tuple[int, ...]

    @property
    def clean(self) -> bool:
        """Whether unused slots must be empty: a polynomial of high degree is huge outside its
        range, and one huge slot spoils all.
        """
        return any(n.kind == "polynomial" for n in self.nodes)


def groups_of(graph: Graph) -> tuple[Group, ...]:
    """The groups of a network, that of the input first."""
    at: dict[str, int] = {}
    members: dict[int, list[Node]] = {}
    for node in graph.nodes:
        if node.kind in ("input", "linear"):
            at[node.name] = max(members, default=-1) + 1
        else:
            joined = sorted({at[name] for name in node.inputs})
            at[node.name] = joined[0]
            for other in joined[1:]:
                members[joined[0]] += members.pop(other)
                at.update((name, joined[0]) for name in at if at[name] == other)
        members.setdefault(at[node.name], []).append(node)
    found = []
    for own in members.values():
        names = {n.name for n in own}
        readers = [n for n in graph.nodes if n.kind == "linear" and n.inputs[0] in names]
        makers = [n for n in own if n.kind == "linear"]
        shape = max((n.shape for n in own), key=len)
        found.append(Group(tuple(own), tuple(makers), tuple(readers), shape))
    return tuple(found)


def strides_of(groups: Sequence[Group]) -> list[frozenset[int]]:
    """Per group the strides that linear maps behind it have together, 1 among them.

    An image split by the product of two strides is split by the second one after the first map.
    """
    at = {n.name: number for number, group in enumerate(groups) for n in group.nodes}
    found = [{1} for _ in groups]
    for number in reversed(range(len(groups))):
        for reader in groups[number].readers:
            own = reader.linear.stride if reader.linear is not None else 1
            found[number] |= {own * later for later in found[at[reader.name]]}
    return [frozenset(s for s in strides if s <= _LARGEST_STRIDE) for strides in found]


def candidates(
    group: Group,
    slots: int,
    strides: Iterable[int],
    blocks: Iterable[int],
    *,
    gap: int = 1,
    frame: tuple[int, int] | None = None,
    square: bool = False,
) -> list[Layout]:
    """Layouts that are compared for one group.

    Args:
        group: tensors.
        slots: numbers in one ciphertext.
        strides: into whose phases images may be split.
        blocks: least periods of the tensors that the makers of the group read.
        gap: that the strides before have left between pixels.
        frame: (height, width) that images would have if no border had been lost before.
        square: whether a maker must do without partial sums, so that longer periods are needed.
    """
    shape = group.shape
    found = [rows(shape, slots)]
    if len(shape) == 3 and shape[1] * shape[2] > 1:
        for around in dict.fromkeys((None, frame)):
            known = [s for s in sorted(strides) if s <= max(shape[1:])]
            found += [phases(shape, slots, s, frame=around) for s in known]
            if 1 < gap <= _LARGEST_STRIDE and gap == power(gap):
                found.append(gaps(shape, slots, gap, frame=around))
    elif not group.clean and group.makers:
        found += _spreads(prod(shape), slots, blocks)
    if square:
        found = [longer for layout in found for longer in _periods(layout, slots)]
    seen: dict[tuple[object, ...], Layout] = {}
    for layout in found:
        seen.setdefault((layout.slots.tobytes(), layout.period), layout)
    return list(seen.values())


def _spreads(elements: int, slots: int, blocks: Iterable[int]) -> list[Layout]:
    whole = power(elements)
    found = []
    for block in sorted(set(blocks)):
        width = whole // 2
        while width >= 1 and -(-elements // width) * block <= slots:
            if width < block:
                found.append(spread(elements, slots, width, block))
            width //= 2
    return found


def _periods(layout: Layout, slots: int) -> list[Layout]:
    found, period = [layout], layout.period * 2
    while period <= slots:
        found.append(replace(layout, period=period))
        period *= 2
    return found
