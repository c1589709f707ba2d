"""The cheapest layouts of a network."""

from __future__ import annotations

from dataclasses import replace

import pytest

from evaluators.fhe.costs import latency, shipped_times
from evaluators.fhe.failures import BackendFailure
from evaluators.fhe.layout_search import Choice, choose
from evaluators.fhe.levels import circuit_of, depth
from evaluators.fhe.packing import pack
from evaluators.fhe.prices import Prices
from spaces.ckks.params import Chain, CkksParams, InputPacking, LayerPacking

TIMES = shipped_times()


def chosen(graph, params: CkksParams) -> Choice:
    return choose(graph, params.slots, params, Prices(TIMES, params.log_n, 1, 20))


def params(graph, packing: InputPacking = "plain", log_n: int = 10) -> CkksParams:
    chain = Chain(31, (26,) * depth(graph), (45,))
    return CkksParams(log_n, chain, 26, input_packing=packing)


@pytest.mark.parametrize("packing", ["plain", "rotated", "columns"])
def test_price_is_the_latency_of_the_circuit(networks, packing: InputPacking) -> None:
    """What layouts are compared by is what the whole circuit is said to take."""
    for graph in (networks.residual(), networks.mlp()):
        given = params(graph, packing, 12)
        circuit = circuit_of(pack(graph, given.slots, given, TIMES), given)
        plain = latency(circuit, 12, replace(TIMES, factor=1.0))
        small = {c.operation for s in circuit.stages for c in s.counts}
        assert small >= {"add_plain", "decrypt"}
        left_out = sum(
            float(TIMES.milliseconds(c.operation, 12, c.limbs)) * c.count
            for s in circuit.stages
            for c in s.counts
            if c.operation in ("add_plain", "decrypt", "decode", "mod_switch")
        )
        # sums of products are priced as one addition for each product
        assert chosen(graph, given).price == pytest.approx(plain.total - left_out, rel=0.02)


def test_square_embedding_has_no_partial_sums(networks) -> None:
    graph = networks.chain((60,), ("fc", 8), ("square",), ("fc", 4))
    given = replace(params(graph), layers=(LayerPacking("fc1", "square"),))
    found = chosen(graph, given)
    assert found.layouts["fc1"].period >= 64
    assert not found.evaluations["fc1"].folds
    assert chosen(graph, params(graph)).evaluations["fc1"].folds


def test_output_is_not_copied(networks) -> None:
    graph = networks.chain((60,), ("fc", 8), ("square",))
    found = chosen(graph, params(graph))
    assert found.single == {"fc1", "square2"}
    clean = networks.chain((60,), ("fc", 8), ("polynomial", 3))
    assert chosen(clean, params(clean)).single == frozenset()


def test_input_read_twice_is_sent_plainly(networks) -> None:
    one = networks.chain((12,), ("fc", 12), ("square",), ("fc", 12))
    nodes = list(one.nodes)
    nodes.append(replace(nodes[1], name="again"))
    nodes.append(replace(nodes[3], name="sum", kind="add", inputs=("fc3", "again"), linear=None))
    graph = replace(one, nodes=tuple(nodes))
    found = chosen(graph, params(graph, "columns"))
    assert found.input is None
    assert set(found.evaluations) == {"fc1", "fc3", "again"}


def test_too_many_columns_are_a_failure_that_names_the_fix(networks) -> None:
    graph = networks.chain((300,), ("fc", 20), ("square",), ("fc", 4))
    given = params(graph, "columns", 5)
    with pytest.raises(BackendFailure, match="slots: .*more than 256 ciphertexts in columns of 16"):
        chosen(graph, given)
    assert chosen(graph, replace(given, input_packing="plain")).price > 0


def test_images_without_their_border_keep_the_width_they_had(networks, agree) -> None:
    """Else the shifts of a strided convolution change row by row, and diagonals abound."""
    graph = networks.chain((1, 28, 28), ("conv", 5, 5, 2, 1), ("square",), ("fc", 10))
    found = pack(graph, 4096, params(graph, log_n=13))
    assert found.layouts["conv1"].name == "channels in 14x14"
    assert len(found.linears["conv1"].terms) == 36  # 9 shifts between 4 phases and 5 channels
    agree(found)
