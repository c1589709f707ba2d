"""What the client should send for the first linear map, at what price."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from evaluators.fhe.input_packing import Sent, columns, contents, shifted
from evaluators.fhe.layout import phases, rows
from evaluators.fhe.products import Sums, fits, place

if TYPE_CHECKING:
    from scipy.sparse import csr_array

    from evaluators.fhe.edges import Edge, Evaluation
    from evaluators.fhe.packed import Layout
    from spaces.ckks.params import CkksParams


MOST = 256  # ciphertexts of one input; more are never cheaper than rotations

Make = Callable[["csr_array"], Sent | None]


@dataclass(frozen=True, eq=False)
class InputChoice:
    """A way of sending the input. It holds no weights.

    Args:
        make: matrix of the first linear map -> contents and products.
        evaluation: how the linear map goes on.
        price: ms of the client's encryption and of the linear map.
    """

    make: Make
    evaluation: Evaluation
    price: float


def input_choice(
    edge: Edge,
    result: Layout,
    params: CkksParams,
    shape: Sequence[int],
    strides: Iterable[int] = (1,),
) -> InputChoice | None:
    """The cheapest way of sending the input for one linear map into the layout ``result``.

    Args:
        edge: the linear map.
        result: layout of its result.
        params: for the packing of the input.
        shape: of the input.
        strides: into whose phases an image may be split.

    Returns:
        None if there is none.
    """
    makers: list[Make] = []
    if params.input_packing == "columns":
        makers += _columns(edge, result)
    else:
        makers += _layouts(edge, result, shape, strides)
        if edge.packing.embedding == "fold":
            makers.append(_Shifted(result, edge.slots))
    sent = params.input_packing == "rotated"
    found = (_choice(edge, make, result, sent=sent) for make in makers)
    return min((c for c in found if c is not None), key=lambda c: c.price, default=None)


def _choice(edge: Edge, make: Make, result: Layout, *, sent: bool) -> InputChoice | None:
    made = make(edge.linear.matrix)
    if made is None:
        return None
    sums = Sums(edge.packing.embedding == "fold", lean=edge.last)
    evaluation = edge.of(made.products, sums, result, sent=sent)
    client = edge.prices("encode", edge.limbs) + edge.prices("encrypt", edge.limbs)
    return InputChoice(make, evaluation, evaluation.price + len(made.index) * client)


def _columns(edge: Edge, result: Layout) -> list[Make]:
    most = 1
    if result.ciphertexts == 1 and edge.packing.embedding == "fold":
        most = edge.slots // result.period
    widest = int(np.diff(edge.linear.matrix.indptr).max(initial=1))
    found: list[Make] = []
    blocks = 1
    while blocks <= most and blocks < 2 * widest:
        if -(-widest // blocks) * result.ciphertexts <= MOST:
            found.append(_Columns(result, edge.slots, blocks))
        blocks *= 2
    return found


def _layouts(
    edge: Edge, result: Layout, shape: Sequence[int], strides: Iterable[int]
) -> list[Make]:
    fold = edge.packing.embedding == "fold"
    options = [rows(shape, edge.slots)]
    if len(shape) == 3:
        options += [phases(shape, edge.slots, s) for s in sorted(strides) if s <= max(shape[1:])]
    return [
        _Plain(source, result, edge.slots, Sums(fold, lean=edge.last))
        for source in options
        if fits(source, result, fold=fold) or edge.last
    ]


@dataclass(frozen=True, eq=False)
class _Plain:
    source: Layout
    result: Layout
    slots: int
    sums: Sums

    def __call__(self, matrix: csr_array) -> Sent:
        products = place(matrix, self.source, self.result, self.slots, self.sums)
        return Sent(self.source.name, contents(self.source, self.slots), products)


@dataclass(frozen=True, eq=False)
class _Columns:
    result: Layout
    slots: int
    blocks: int

    def __call__(self, matrix: csr_array) -> Sent:
        return columns(matrix, self.result, self.slots, self.blocks)


@dataclass(frozen=True, eq=False)
class _Shifted:
    result: Layout
    slots: int

    def __call__(self, matrix: csr_array) -> Sent | None:
        return shifted(matrix, self.result, self.slots)
