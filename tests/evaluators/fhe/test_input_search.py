"""Ways of sending the input, by price."""

from __future__ import annotations

import pytest

from evaluators.fhe.costs import shipped_times
from evaluators.fhe.edges import Edge
from evaluators.fhe.input_search import input_choice
from evaluators.fhe.layout import phases, rows
from evaluators.fhe.prices import Prices
from spaces.ckks.params import Chain, CkksParams, InputPacking, LayerPacking


def edge(networks, packing: LayerPacking, slots: int = 4096) -> Edge:
    linear = networks.mlp().nodes[1].linear
    return Edge(linear, packing, 6, slots, Prices(shipped_times(), 13, 1, 6))


def sent(networks, packing: InputPacking, layer: LayerPacking | None = None):  # type: ignore[no-untyped-def]
    params = CkksParams(13, Chain(31, (26,) * 5, (45,)), 26, input_packing=packing)
    one = edge(networks, layer or LayerPacking("fc1"))
    found = input_choice(one, rows((128,), 4096), params, (1, 28, 28))
    assert found is not None
    made = found.make(one.linear.matrix)
    assert made is not None
    return found, made


@pytest.mark.parametrize(
    ("packing", "name", "ciphertexts"),
    [
        ("plain", "shifted 4 by 32", 1),
        ("rotated", "shifted 4 by 32", 1),
        ("columns", "columns 25", 25),
    ],
)
def test_cheapest_way(networks, packing: InputPacking, name: str, ciphertexts: int) -> None:
    found, made = sent(networks, packing)
    assert (made.name, len(made.index)) == (name, ciphertexts)
    assert found.evaluation.split.sent == (packing == "rotated")


def test_price_counts_the_client(networks) -> None:
    found, made = sent(networks, "columns")
    prices = Prices(shipped_times(), 13, 1, 6)
    client = len(made.index) * (prices("encode", 6) + prices("encrypt", 6))
    assert found.price == pytest.approx(found.evaluation.price + client)


def test_square_embedding_gets_plain_layouts(networks) -> None:
    one = edge(networks, LayerPacking("fc1", "square"))
    params = CkksParams(13, Chain(31, (26,) * 5, (45,)), 26)
    found = input_choice(one, rows((128,), 4096, 1024), params, (1, 28, 28))
    assert found is not None
    assert not found.evaluation.sums.fold
    assert input_choice(one, rows((128,), 4096), params, (1, 28, 28)) is None


def test_images_are_split_by_the_strides_ahead(networks) -> None:
    linear = networks.lenet().nodes[1].linear
    prices = Prices(shipped_times(), 14, 1, 8)
    one = Edge(linear, LayerPacking("conv1"), 8, 8192, prices)
    params = CkksParams(14, Chain(45, (35,) * 7, (60,)), 35)
    result = phases((32, 14, 14), 8192, 2)
    slow = input_choice(one, result, params, (1, 28, 28))
    quick = input_choice(one, result, params, (1, 28, 28), (1, 2, 4))
    assert slow is not None
    assert quick is not None
    assert quick.price < slow.price / 2
