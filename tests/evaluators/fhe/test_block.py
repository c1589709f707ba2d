"""One block cut out of a packed network gives what it gives in the whole."""

from typing import Any

import numpy as np
import pytest

from evaluators.fhe import reference
from evaluators.fhe.block import most_expensive, predicted_bits
from evaluators.fhe.costs import shipped_times
from evaluators.fhe.levels import assign
from evaluators.fhe.network import graph_for
from evaluators.fhe.packing import pack
from evaluators.fhe.seal.run import data_primes, run_encrypted
from spaces.ckks.params import Chain, CkksParams

PAIRED = CkksParams(12, Chain(35, (50, 50, 26), (55,)), 26, drops="paired")


@pytest.fixture(params=["each", "paired"])
def cut(request: Any, small_squares: Any, squares_candidate: Any, here: Any) -> Any:
    params = squares_candidate.payload if request.param == "each" else PAIRED
    graph = graph_for(squares_candidate, small_squares, "test", here)
    packed = pack(graph, params.slots, params)
    block = most_expensive(packed, params, shipped_times(), data_primes(params))
    images = small_squares.data.validation.x[:2]
    values = reference.values(graph, images.reshape(len(images), -1).double().numpy())
    return params, graph, packed, block, values


def test_it_is_the_most_expensive_map_with_its_square(cut: Any) -> None:
    params, graph, _, block, _ = cut
    kinds = {node.name: node.kind for node in graph.nodes}
    assert [kinds[name] for name in block.nodes] == ["linear", "square"]
    assert block.predicted_ms > 0
    whole = assign(graph, params, data_primes(params))
    assert all(block.levels[name] == whole[name] for name in block.nodes)
    assert block.levels[block.source].limbs_out == whole[block.nodes[0]].limbs_in


def test_encrypted_it_gives_the_values_of_the_network(cut: Any) -> None:
    params, graph, _, block, values = cut
    given, exact = values[block.source], values[block.nodes[-1]]
    run = run_encrypted(block.packed, params, given, levels=block.levels)
    for inference in run.inferences:
        assert np.abs(inference.output - exact[inference.image]).max() < 2**-7
    assert 5 < predicted_bits(block, graph, params, given, exact) < 26
