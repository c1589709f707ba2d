"""Which layout each tensor gets: those with the least predicted time together.

Every linear map has a price for each layout of its input and of its result; the cheapest choice for
all groups of tensors together is found exactly.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from typing import TYPE_CHECKING

import numpy as np

from evaluators.fhe.edges import Edge, Evaluation
from evaluators.fhe.elimination import Factor, cheapest
from evaluators.fhe.failures import BackendFailure
from evaluators.fhe.input_search import MOST, InputChoice, input_choice
from evaluators.fhe.layout import power
from evaluators.fhe.layout_groups import Group, candidates, groups_of, strides_of
from evaluators.fhe.levels import consumed, deferred, limbs
from evaluators.fhe.polynomial_plan import plan

if TYPE_CHECKING:
    from evaluators.fhe.graph import Graph, Linear, Node
    from evaluators.fhe.packed import Layout
    from evaluators.fhe.prices import Prices
    from spaces.ckks.params import CkksParams


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


def choose(graph: Graph, slots: int, params: CkksParams, prices: Prices) -> Choice:
    """The layouts with the least predicted time.

    Raises:
        BackendFailure: ``slots`` if no layout serves.
    """
    return _Search(graph, slots, params, prices).choice()


@dataclass(eq=False)
class _Search:
    """One search, with what it has found out so far."""

    graph: Graph
    slots: int
    params: CkksParams
    prices: Prices
    priced: dict[tuple[str, int, int], Evaluation] = field(default_factory=dict)
    prepared: dict[int, InputChoice] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.groups = groups_of(self.graph)
        self.limbs = limbs(self.graph, self.params.drops)
        self.unscaled = deferred(self.graph, self.params.drops)
        self.at = {n.name: i for i, group in enumerate(self.groups) for n in group.nodes}
        first, self.output = self.groups[0], self.at[self.graph.nodes[-1].name]
        # The client can prepare its input for one linear map, if nothing else reads it.
        self.special = len(first.nodes) == 1 and len(first.readers) == 1
        # Nothing reads the output, so it needs no copies, and its unused slots may hold anything.
        self.lean = not self.groups[self.output].readers and not self.groups[self.output].clean
        self.options = self._options()

    def choice(self) -> Choice:
        """The cheapest choice."""
        factors: list[Factor] = [
            ((number,), np.array([self._kept(group, o) for o in self.options[number]]))
            for number, group in enumerate(self.groups)
        ]
        for node in self.graph.nodes:
            if node.linear is not None:
                factors.append(self._factor(node, node.linear))
        chosen, price = cheapest([len(o) for o in self.options], factors)
        if not np.isfinite(price):
            raise BackendFailure("slots", self._impossible())
        layouts = {name: self.options[number][chosen[number]] for name, number in self.at.items()}
        evaluations, sent = {}, None
        for node in self.graph.nodes:
            if node.linear is None:
                continue
            i, j = chosen[self.at[node.inputs[0]]], chosen[self.at[node.name]]
            if self.special and self.at[node.inputs[0]] == 0:
                sent = self.prepared[j]
            evaluations[node.name] = self.priced[node.name, i, j]
        single = {n.name for n in self.groups[self.output].nodes} if self.lean else set[str]()
        return Choice(layouts, evaluations, sent, frozenset(single), price)

    def _impossible(self) -> str:
        if self.special and not self.prepared and self.params.input_packing == "columns":
            return (
                f"the client would have to send more than {MOST} ciphertexts in columns of "
                f"{self.slots} slots. Take input_packing rotated or plain, or more slots"
            )
        return "no layout serves all linear maps with these embeddings. Take embedding fold"

    def _options(self) -> list[list[Layout]]:
        strides = strides_of(self.groups)
        self.strides = strides[0]
        image = self.groups[0].shape
        found: list[list[Layout]] = []
        for number, group in enumerate(self.groups):
            blocks = {self._least(self.at[n.inputs[0]]) for n in group.makers}
            gap, frame = 1, None
            if len(image) == len(group.shape) == 3:
                gap = max(image[1] // group.shape[1], 1)
                frame = (-(-image[1] // gap), -(-image[2] // gap))
            square = any(self.params.layer(n.name).embedding == "square" for n in group.makers)
            options = candidates(
                group, self.slots, strides[number], blocks, gap=gap, frame=frame, square=square
            )
            found.append(options[:1] if self.special and number == 0 else options)
        return found

    def _least(self, number: int) -> int:
        """Least period of the tensors of a group, if nothing is left free between elements."""
        return min(power(prod(self.groups[number].shape)), self.slots)

    def _factor(self, node: Node, linear: Linear) -> Factor:
        """Prices of one linear map for each layout of its input and of its result."""
        source, result = self.at[node.inputs[0]], self.at[node.name]
        last = self.lean and result == self.output
        packing, before = self.params.layer(node.name), self.limbs[node.name] + 1
        edge = Edge(linear, packing, before, self.slots, self.prices, last)
        costs = np.full((len(self.options[source]), len(self.options[result])), np.inf)
        for j, to in enumerate(self.options[result]):
            if self.special and source == 0:
                found = input_choice(edge, to, self.params, self.groups[0].shape, self.strides)
                if found is not None:
                    self.prepared[j], costs[0, j] = found, found.price
                    self.priced[node.name, 0, j] = found.evaluation
                continue
            for i, layout in enumerate(self.options[source]):
                evaluation = edge.evaluation(layout, to)
                if evaluation is not None:
                    self.priced[node.name, i, j] = evaluation
                    costs[i, j] = evaluation.price
        if source == result:
            return (source,), np.diagonal(costs)
        return ((source, result), costs) if source < result else ((result, source), costs.T)

    def _kept(self, group: Group, layout: Layout) -> float:
        """Ms of what each ciphertext of a group's tensors takes, sending an input included."""
        each = 0.0
        for node in group.nodes:
            before = self.limbs[node.name] + consumed(node, self.unscaled)
            if node.kind == "input" and not self.special:
                each += self.prices("encode", before) + self.prices("encrypt", before)
            elif node.kind == "square":
                each += sum(self.prices(o, before) for o in ("square", "relinearise"))
                each += 0.0 if node.name in self.unscaled else self.prices("rescale", before)
            elif node.kind == "add":
                each += self.prices("add", before)
            elif node.polynomial is not None:
                own = plan(node.polynomial).counts(before)
                each += sum(c.count * self.prices(c.operation, c.limbs) for c in own)
        return each * layout.ciphertexts
