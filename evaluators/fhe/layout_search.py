"""Which layout each tensor gets: those with the least predicted time together.

Squares, polynomials and additions keep layouts, so tensors joined by them form a *group* with one
layout. Linear maps join groups, each at a price. The cheapest choice is found exactly.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

import numpy as np

from evaluators.fhe.edges import Edge, Evaluation
from evaluators.fhe.elimination import Factor, cheapest
from evaluators.fhe.failures import BackendFailure
from evaluators.fhe.input_search import InputChoice, input_choice
from evaluators.fhe.layout import gaps, phases, power, rows, spread
from evaluators.fhe.levels import consumed, limbs
from evaluators.fhe.polynomial_plan import plan

if TYPE_CHECKING:
    from evaluators.fhe.graph import Graph, Node
    from evaluators.fhe.packed import Layout
    from evaluators.fhe.prices import Prices
    from spaces.ckks.params import CkksParams


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


@dataclass(frozen=True)
class Choice:
    """The layouts of a network and how its linear maps are evaluated.

    Args:
        layouts: node -> layout.
        evaluations: linear node -> how.
        input: what the client prepares for the first linear map; None for plain layouts.
        single: nodes whose results are not repeated in their ciphertexts.
        price: predicted ms of linear maps, of what each further ciphertext costs, and of the
            client's encryption.
    """

    layouts: Mapping[str, Layout]
    evaluations: Mapping[str, Evaluation]
    input: InputChoice | None
    single: frozenset[str]
    price: float


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


def candidates(
    group: Group, slots: int, params: CkksParams, blocks: Sequence[int], image: int
) -> list[Layout]:
    """Layouts that are compared for one group.

    Args:
        group: tensors.
        slots: numbers in one ciphertext.
        params: for the embeddings.
        blocks: least periods of the tensors that its linear maps read.
        image: height of the network's input, for the gaps that strides leave.
    """
    shape = group.shape
    found = [rows(shape, slots)]
    if len(shape) == 3 and shape[1] * shape[2] > 1:
        strides = {n.linear.stride for n in group.readers if n.linear is not None}
        found += [phases(shape, slots, stride) for stride in sorted(strides | {1})]
        gap = image // shape[1]
        if 1 < gap <= 8 and gap == power(gap):
            found.append(gaps(shape, slots, gap))
    elif not group.clean and group.makers:
        found += _spreads(prod(shape), slots, blocks)
    if any(params.layer(n.name).embedding == "square" for n in group.makers):
        found = [longer for layout in found for longer in _periods(layout, slots)]
    seen: dict[tuple[object, ...], Layout] = {}
    for layout in found:
        seen.setdefault((layout.slots.tobytes(), layout.period), layout)
    return list(seen.values())


def _spreads(elements: int, slots: int, blocks: Sequence[int]) -> list[Layout]:
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
    from dataclasses import replace

    found, period = [layout], layout.period * 2
    while period <= slots:
        found.append(replace(layout, period=period))
        period *= 2
    return found


def choose(graph: Graph, slots: int, params: CkksParams, prices: Prices) -> Choice:
    """The layouts with the least predicted time.

    Raises:
        BackendFailure: ``slots`` if no layout serves.
    """
    groups, needed = groups_of(graph), limbs(graph)
    at = {n.name: number for number, group in enumerate(groups) for n in group.nodes}
    image = groups[0].shape[1] if len(groups[0].shape) == 3 else 0
    output = at[graph.nodes[-1].name]
    lean = not groups[output].readers and not groups[output].clean
    options: list[list[Layout]] = []
    for group in groups:
        blocks = [_least(options, at[n.inputs[0]], groups, slots) for n in group.makers]
        options.append(candidates(group, slots, params, [b for b in blocks if b], image))
    special = len(groups[0].nodes) == 1 and len(groups[0].readers) == 1
    factors: list[Factor] = []
    priced: dict[tuple[str, int, int], Evaluation] = {}
    prepared: dict[int, InputChoice] = {}
    if special:
        options[0] = options[0][:1]
    for number, group in enumerate(groups):
        unary = np.array(
            [_kept(group, needed, layout, prices, sent=special) for layout in options[number]]
        )
        factors.append(((number,), unary))
    for node in graph.nodes:
        if node.kind != "linear" or node.linear is None:
            continue
        source, result = at[node.inputs[0]], at[node.name]
        last = lean and result == output
        edge = Edge(
            node.linear, params.layer(node.name), needed[node.name] + 1, slots, prices, last
        )
        costs = np.full((len(options[source]), len(options[result])), np.inf)
        for j, to in enumerate(options[result]):
            if special and source == 0:
                found = input_choice(edge, to, params, groups[0].shape)
                if found is not None:
                    prepared[j], costs[0, j] = found, found.price
                continue
            for i, layout in enumerate(options[source]):
                evaluation = edge.evaluation(layout, to)
                if evaluation is not None:
                    priced[node.name, i, j] = evaluation
                    costs[i, j] = evaluation.price
        factors.append(_factor(source, result, costs))
    chosen, price = cheapest([len(o) for o in options], factors)
    if not np.isfinite(price):
        raise BackendFailure("slots", "no layout serves all linear maps with these embeddings")
    layouts = {name: options[number][chosen[number]] for name, number in at.items()}
    evaluations, sent = {}, None
    for node in graph.nodes:
        if node.kind == "linear":
            i, j = chosen[at[node.inputs[0]]], chosen[at[node.name]]
            if special and at[node.inputs[0]] == 0:
                sent = prepared[j]
                evaluations[node.name] = sent.evaluation
            else:
                evaluations[node.name] = priced[node.name, i, j]
    single = frozenset(n.name for n in groups[output].nodes) if lean else frozenset[str]()
    return Choice(layouts, evaluations, sent, single, price)


def _least(options: list[list[Layout]], source: int, groups: Sequence[Group], slots: int) -> int:
    """Least period of the tensors of a group without gaps."""
    if source < len(options):
        return min(layout.period for layout in options[source])
    return min(power(prod(groups[source].shape)), slots)


def _kept(
    group: Group, needed: Mapping[str, int], layout: Layout, prices: Prices, *, sent: bool
) -> float:
    """Time in ms of what is done with each ciphertext of a group's tensors, and of sending an input."""
    each = 0.0
    for node in group.nodes:
        before = needed[node.name] + consumed(node)
        if node.kind == "input" and not sent:
            each += prices("encode", before) + prices("encrypt", before)
        elif node.kind == "square":
            each += sum(prices(o, before) for o in ("square", "relinearise", "rescale"))
        elif node.kind == "add":
            each += prices("add", before)
        elif node.polynomial is not None:
            own = plan(node.polynomial).counts(before)
            each += sum(c.count * prices(c.operation, c.limbs) for c in own)
    return each * layout.ciphertexts


def _factor(source: int, result: int, costs: np.ndarray) -> Factor:
    if source == result:
        return (source,), np.diagonal(costs)
    if source < result:
        return (source, result), costs
    return (result, source), costs.T
