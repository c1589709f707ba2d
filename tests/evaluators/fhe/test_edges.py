"""Prices of linear maps between layouts."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_array

from evaluators.fhe.costs import shipped_times
from evaluators.fhe.edges import Edge
from evaluators.fhe.graph import Linear
from evaluators.fhe.layout import channels, gaps, phases, rows, spread
from evaluators.fhe.packed import Layout
from evaluators.fhe.prices import Prices
from evaluators.fhe.products import place
from evaluators.fhe.splits import distinct
from spaces.ckks.params import LayerPacking

SLOTS = 512
PRICES = Prices(shipped_times(), 10, 1, 4)


def edge(linear: Linear, *, last: bool = False, packing: LayerPacking | None = None) -> Edge:
    return Edge(linear, packing or LayerPacking("a"), 3, SLOTS, PRICES, last)


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("source", [rows, channels, lambda s, n: phases(s, n, 2)])
@pytest.mark.parametrize("result", [rows, channels, lambda s, n: gaps(s, n, 2)])
def test_counting_by_distances_is_counting_by_products(networks, source, result, last) -> None:
    linear, shape = networks.convolution(np.random.default_rng(0), (3, 6, 6), 5, 3, 2, 1)
    one, two = source((3, 6, 6), SLOTS), result(shape, SLOTS)
    found = edge(linear, last=last).evaluation(one, two)
    assert found is not None
    products = place(linear.matrix, one, two, SLOTS, found.sums)
    shifts = distinct(products.source, products.result, products.shift, products.modulus)
    price = PRICES("rotate", 3) + PRICES("add", 3)  # before rescaling
    rest = found.price - found.split.price
    assert rest == pytest.approx(len(products.folds) * two.ciphertexts * price)
    assert found.folds == products.folds
    for name in ("source", "result", "shift"):
        assert getattr(found.shifts, name).tolist() == getattr(shifts, name).tolist()
    assert edge(linear).of(products, found.sums, two).split == found.split


def test_sums_over_inputs_alone_where_that_is_cheaper() -> None:
    """Differences of positions carry into bits that neither inputs nor outputs use."""
    linear = Linear(csr_array(np.ones((10, 128))), np.zeros(10))
    source, result = spread(128, 4096, 4, 128), rows((10,), 4096)
    one = Edge(linear, LayerPacking("a"), 2, 4096, Prices(shipped_times(), 13, 1, 4), last=True)
    found = one.evaluation(source, result)
    assert found is not None
    assert not found.sums.carry
    assert found.folds == (2048, 1024, 512, 256, 128)


def test_folds_and_giant_steps_come_before_rescaling_unless_soon_is_chosen() -> None:
    linear = Linear(csr_array(np.ones((64, 512))), np.zeros(64))
    source, result = rows((512,), SLOTS), rows((64,), SLOTS)
    last = edge(linear).evaluation(source, result)
    soon = edge(linear, packing=LayerPacking("a", rescaling="soon")).evaluation(source, result)
    assert last is not None
    assert soon is not None
    assert last.folds == soon.folds == (256, 128, 64)
    assert (last.fold_first, last.split.early) == (True, False)
    assert (soon.fold_first, soon.split.early) == (False, True)
    fewer = PRICES("rotate", 2) + PRICES("add", 2)
    assert soon.price - soon.split.price == pytest.approx(3 * fewer)
    assert soon.price < last.price


def test_nothing_is_folded_first_without_folds() -> None:
    linear = Linear(csr_array(np.ones((64, 64))), np.zeros(64))
    found = edge(linear).evaluation(rows((64,), SLOTS), rows((64,), SLOTS))
    assert found is not None
    assert not found.folds
    assert not found.fold_first


def test_square_embedding_cannot_shrink_a_period() -> None:
    linear = Linear(csr_array(np.ones((4, 64))), np.zeros(4))
    square = LayerPacking("a", "square")
    source = rows((64,), SLOTS)

    def evaluated(result: Layout, *, last: bool = False) -> bool:
        return edge(linear, last=last, packing=square).evaluation(source, result) is not None

    assert not evaluated(rows((4,), SLOTS))
    assert evaluated(rows((4,), SLOTS, 64))
    assert evaluated(rows((4,), SLOTS), last=True)
