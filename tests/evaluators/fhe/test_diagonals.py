"""Terms and their diagonals; the counts of Orion's own layouts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from scipy.sparse import csr_array

from evaluators.fhe import diagonals
from evaluators.fhe.costs import shipped_times
from evaluators.fhe.diagonals import Bias, Known, Placed, packed_linear
from evaluators.fhe.edges import Edge
from evaluators.fhe.graph import Linear
from evaluators.fhe.layout import gaps, rows
from evaluators.fhe.packed import Layout, PackedLinear, Term
from evaluators.fhe.prices import Prices
from evaluators.fhe.products import Products, Sums, place
from evaluators.fhe.slot_run import run_linear
from evaluators.fhe.splits import distinct
from spaces.ckks.params import LayerPacking

PRICES = Prices(shipped_times(), 13, 1, 8)


def built(m: csr_array, source: Layout, result: Layout, slots: int, baby: int) -> PackedLinear:
    one = Linear(m, np.zeros(m.shape[0]))
    edge = Edge(one, LayerPacking("fc", baby=baby), 4, slots, PRICES)
    way = edge.evaluation(source, result)
    assert way is not None
    make = Placed(m, source, result, slots, way.sums)
    return packed_linear("fc", way, make, one.bias, source, result, slots)


def test_diagonals_are_rotated_back_by_their_giant_step() -> None:
    m = csr_array(np.arange(1.0, 17.0).reshape(4, 4))
    layout = rows((4,), 8)
    linear = built(m, layout, layout, 8, 2)
    assert linear.terms == (Term(0, 0, 0, 0), Term(0, 0, 1, 0), Term(0, 0, 0, 2), Term(0, 0, 1, 2))
    assert linear.diagonal(0).tolist() == [1, 6, 11, 16] * 2
    # shift 3: weights (0, 3), (1, 0), (2, 1), (3, 2), rolled by two
    assert linear.diagonal(3).tolist() == [10, 15, 4, 5] * 2


def test_a_result_without_weights_still_has_a_term() -> None:
    dense = np.zeros((12, 4))
    dense[:8] = 1.0
    linear = built(csr_array(dense), rows((4,), 4), rows((12,), 4), 4, 4)
    assert {t.result for t in linear.terms} == {0, 1, 2}
    lonely = next(k for k, t in enumerate(linear.terms) if t.result == 2)
    assert not linear.diagonal(lonely).any()
    assert run_linear(linear, np.ones((1, 4))).tolist() == [[4.0] * 4, [4.0] * 4, [0.0] * 4]


def counting(placed: Placed) -> tuple[Callable[[], Products], list[int]]:
    """Makes the products, and has an entry for each time it did."""
    asked: list[int] = []

    def make() -> Products:
        asked.append(1)
        return placed()

    return make, asked


def test_entries_are_placed_when_a_diagonal_is_asked_for() -> None:
    m, layout = csr_array(np.eye(4)), rows((4,), 8)
    linear = built(m, layout, layout, 8, 4)
    make, asked = counting(Placed(m, layout, layout, 8, Sums()))
    lazy = replace(linear.diagonal, make=make)  # type: ignore[type-var]
    assert asked == []
    assert lazy(0).tolist() == [1.0] * 8
    lazy(0)
    assert asked == [1]
    assert Known(make())() is not make()


@pytest.mark.parametrize(("large", "times"), [(3, 2), (10**6, 1)])
def test_entries_of_a_large_map_are_let_go_with_its_last_diagonal(
    large: int, times: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A walk through the terms leaves nothing behind, and a second one gives the same."""
    monkeypatch.setattr(diagonals, "_LARGE", large)
    m = csr_array(np.arange(1.0, 17.0).reshape(4, 4))
    layout = rows((4,), 8)
    linear = built(m, layout, layout, 8, 2)
    make, asked = counting(Placed(m, layout, layout, 8, Sums()))
    lazy = replace(linear.diagonal, make=make)  # type: ignore[type-var]
    walks = [[lazy(k).tolist() for k in range(len(linear.terms))] for _ in range(2)]
    assert walks[0] == walks[1]
    assert walks[0][0] == [1, 6, 11, 16] * 2
    assert len(asked) == times


def test_bias_stands_in_every_copy() -> None:
    assert Bias(np.array([1.0, 2.0]), rows((2,), 8), 8)().tolist() == [[1, 2] * 4]
    several = Bias(np.arange(6.0), rows((6,), 4), 4)()
    assert several.tolist() == [[0, 1, 2, 3], [4, 5, 0, 0]]


def counted(m: csr_array, source: Layout, result: Layout, slots: int, fold: bool) -> int:
    products = place(m, source, result, slots, Sums(fold))
    return int(
        distinct(products.source, products.result, products.shift, products.modulus).shift.size
    )


def whole(elements: int, slots: int) -> Layout:
    return rows((elements,), slots, slots)


# Source: diagonals that orion-fhe 1.0.2 reports for its MLP, LoLa and LeNet: gaps after strided
# convolutions, inputs that are not repeated, partial sums in linear layers but the last.
def test_orion_mlp(networks) -> None:
    one, two, three = (n.linear.matrix for n in networks.mlp().nodes if n.linear)
    s = 4096
    assert counted(one, whole(784, s), rows((128,), s), s, True) == 128
    assert counted(two, whole(128, s), rows((128,), s), s, True) == 128
    assert counted(three, whole(128, s), whole(10, s), s, False) == 137


def test_orion_lola(networks) -> None:
    one, two, three = (n.linear.matrix for n in networks.lola().nodes if n.linear)
    s = 4096
    image = gaps((5, 14, 14), s, 2, s)
    assert counted(one, whole(784, s), image, s, False) == 13
    assert counted(two, image, rows((100,), s), s, True) == 128
    assert counted(three, whole(100, s), whole(10, s), s, False) == 109


@pytest.mark.slow
def test_orion_lenet(networks) -> None:
    one, two, three, four = (n.linear.matrix for n in networks.lenet().nodes if n.linear)
    s = 8192
    image = gaps((32, 14, 14), s, 2, s)
    small = gaps((64, 7, 7), s, 4)
    assert counted(one, whole(784, s), image, s, False) == 288
    assert counted(two, image, small, s, True) == 1649
    assert counted(three, gaps((64, 7, 7), s, 4, s), rows((512,), s), s, True) == 512
    assert counted(four, whole(512, s), whole(10, s), s, False) == 521
