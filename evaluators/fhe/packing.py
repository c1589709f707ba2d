"""From a graph to a packed network: layouts are chosen, then every linear map is laid out."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

import numpy as np

from evaluators.fhe.costs import shipped_times
from evaluators.fhe.diagonals import Known, Placed, packed_linear
from evaluators.fhe.input_packing import (
    InputSlots,
    OutputSlots,
    contents,
    rolled,
    standing,
)
from evaluators.fhe.layout_search import Choice, choose
from evaluators.fhe.levels import limbs
from evaluators.fhe.packed import PackedLinear, PackedNetwork
from evaluators.fhe.prices import Prices

if TYPE_CHECKING:
    from evaluators.fhe.costs import OperationTimes
    from evaluators.fhe.graph import Graph
    from spaces.ckks.params import CkksParams


def pack(
    graph: Graph, slots: int, params: CkksParams, times: OperationTimes | None = None
) -> PackedNetwork:
    """The network in slots, with the layouts and rotations of least predicted time.

    Args:
        graph: the network.
        slots: numbers in one ciphertext, a power of two.
        params: ring dimension, packing of the input and of single layers, and where is rescaled;
            its chain matters only by the number of special primes.
        times: of operations; the shipped table by default.

    Raises:
        BackendFailure: ``slots`` if the network cannot be laid out as demanded.
    """
    times = times or shipped_times()
    question = Question(graph, slots, params, times)
    return _assemble(graph, slots, _chosen(question.key, _Once(question)))


@dataclass(frozen=True, eq=False)
class Question:
    """What the choice of layouts depends on.

    Args:
        graph, slots, params, times: as in :func:`pack`.
    """

    graph: Graph
    slots: int
    params: CkksParams
    times: OperationTimes

    @cached_property
    def key(self) -> tuple[object, ...]:
        """Equal for questions with equal answers: structure and not weights."""
        digest = hashlib.blake2b(digest_size=16)
        for node in self.graph.nodes:
            digest.update(repr((node.name, node.kind, node.inputs, node.shape)).encode())
            if node.linear is not None:
                digest.update(str(node.linear.stride).encode())
                digest.update(np.ascontiguousarray(node.linear.matrix.indptr).tobytes())
                digest.update(np.ascontiguousarray(node.linear.matrix.indices).tobytes())
            digest.update(repr(node.polynomial).encode())
        params = self.params
        own = (params.log_n, params.input_packing, params.layers, params.drops)
        return digest.digest(), self.slots, own, len(self.params.chain.special), repr(self.times)

    def answer(self) -> Choice:
        """The cheapest layouts."""
        most = max(limbs(self.graph, self.params.drops).values()) + 1
        special = len(self.params.chain.special)
        prices = Prices(self.times, self.params.log_n, special, most)
        return choose(self.graph, self.slots, self.params, prices)


class _Once:
    """A question that all cached answers may hold: equal to every other, empty once asked."""

    def __init__(self, question: Question) -> None:
        self._question: Question | None = question

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Once)

    def __hash__(self) -> int:
        return 0

    def answer(self) -> Choice:
        """Ask, and let go of the graph."""
        question, self._question = self._question, None
        if question is None:
            raise RuntimeError("a question is asked once")
        return question.answer()


@lru_cache(maxsize=256)
def _chosen(key: tuple[object, ...], once: _Once) -> Choice:
    return once.answer()


def _assemble(graph: Graph, slots: int, choice: Choice) -> PackedNetwork:
    """Every linear map with the weights of ``graph``."""
    first, last = graph.nodes[0].name, graph.nodes[-1].name
    layouts = {
        name: replace(layout, period=slots) if name in choice.single else layout
        for name, layout in choice.layouts.items()
    }
    index = contents(layouts[first], slots)
    linears: dict[str, PackedLinear] = {}
    for node in graph.nodes:
        if node.linear is None:
            continue
        source, result = choice.layouts[node.inputs[0]], choice.layouts[node.name]
        way = choice.evaluations[node.name]
        made = None
        if choice.input is not None and node.inputs[0] == first:
            made = choice.input.make(node.linear.matrix)
        make: Placed | Known
        if made is None:
            make = Placed(node.linear.matrix, source, result, slots, way.sums)
        else:
            index, make = made.index, Known(made.products)
        bias = node.linear.bias
        linear = packed_linear(node.name, way, make, bias, source, layouts[node.name], slots)
        if made is not None:
            if way.split.sent:
                linear, index = _sent(linear, index)
            layouts[first] = standing(index, source.slots.size, made.name)
            linear = replace(linear, source=layouts[first])
        linears[node.name] = linear
    return PackedNetwork(
        graph, slots, layouts, linears, InputSlots(index), OutputSlots(layouts[last], slots)
    )


def _sent(linear: PackedLinear, index: np.ndarray) -> tuple[PackedLinear, np.ndarray]:
    """The baby steps of ``linear`` as ciphertexts of their own."""
    pairs = sorted({(term.source, term.baby) for term in linear.terms})
    at = {pair: number for number, pair in enumerate(pairs)}
    terms = tuple(replace(term, source=at[term.source, term.baby], baby=0) for term in linear.terms)
    return replace(linear, terms=terms), rolled(index, pairs)
