"""How noise reaches outputs: derivatives against differences, the model against encryption."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from evaluators.fhe import reference
from evaluators.fhe.graph import Graph, Node, Polynomial
from evaluators.fhe.noise import Source, variances
from evaluators.fhe.noise_gains import analyse, forward
from evaluators.fhe.packed import PackedNetwork
from evaluators.fhe.packing import pack
from evaluators.fhe.seal_host import block
from spaces.ckks.params import Chain, CkksParams, LayerPacking, Rescaling

IMAGES = np.random.default_rng(1).uniform(-1, 1, (2, 256))


def with_polynomial() -> tuple[Graph, CkksParams]:
    """The block with a polynomial in place of its first square."""
    graph, params = block()
    cubic = Polynomial((0.1, 0.5, 0.2, 0.1))
    nodes = tuple(
        replace(n, kind="polynomial", polynomial=cubic) if n.name == "square1" else n
        for n in graph.nodes
    )
    levels = (26,) * 6
    return Graph(nodes, {}), replace(params, chain=replace(params.chain, levels=levels))


@pytest.fixture(scope="module", params=["square", "polynomial"])
def packed(request: pytest.FixtureRequest) -> tuple[PackedNetwork, CkksParams]:
    graph, params = block() if request.param == "square" else with_polynomial()
    return pack(graph, params.slots, params), params


def test_forward_without_noise_is_the_network(packed: tuple[PackedNetwork, CkksParams]) -> None:
    network, _ = packed
    slots = forward(network, IMAGES)[network.graph.nodes[-1].name]
    found = np.stack([network.decode_output(row) for row in slots])
    assert found == pytest.approx(reference.run(network.graph, IMAGES), abs=1e-9)


def test_gains_are_squared_derivatives(packed: tuple[PackedNetwork, CkksParams]) -> None:
    """For each source: many draws of small noise there alone, against what the gain says."""
    network, params = packed
    gains = analyse(network, IMAGES)
    last = network.graph.nodes[-1].name
    exact = forward(network, IMAGES)[last]
    random = np.random.default_rng(2)
    assert set(gains.sources) <= set(variances(network.graph, params))
    for index, source in enumerate(gains.sources):
        errors = []
        for _ in range(12):

            def add(where: Source, values: np.ndarray, source: Source = source) -> np.ndarray:
                if where != source:
                    return values
                return values + 1e-6 * random.standard_normal(values.shape)

            run = forward(network, IMAGES, add)[last] - exact
            errors.append([network.decode_output(row) for row in run])
        found = np.mean(np.square(errors)) / 1e-12
        assert found / gains.white[index].mean() == pytest.approx(1, abs=0.45), source


def test_biased_noise_counts_by_slot() -> None:
    graph, params = block()
    network = pack(graph, params.slots, params)
    gains = analyse(network, IMAGES[:1])
    place = gains.sources.index(Source("fc2", "rescale"))
    # The outputs stand in the first slots, where the profile is far above its mean.
    assert gains.biased[place].max() > 1000 * gains.biased[place].min()


@pytest.mark.slow
@pytest.mark.parametrize("rescaling", ["last", "soon"])
@pytest.mark.parametrize("special", [31, 45])
def test_model_is_within_a_bit_of_encryption(
    packed: tuple[PackedNetwork, CkksParams], special: int, rescaling: Rescaling
) -> None:
    from evaluators.fhe.seal.run import run_encrypted

    network, params = packed
    if rescaling == "soon":
        layers = tuple(LayerPacking(name, rescaling="soon") for name in network.linears)
        network = pack(network.graph, params.slots, replace(params, layers=layers))
    params = replace(params, chain=Chain(31, params.chain.levels, (special,)))
    deviation = analyse(network, IMAGES).deviations([variances(network.graph, params)])[0]
    run = run_encrypted(network, params, IMAGES, repeats=3)
    exact = reference.run(network.graph, IMAGES)
    error = np.mean([np.abs(i.output - exact[i.image]) for i in run.inferences])
    assert np.log2(error / (deviation.mean() * np.sqrt(2 / np.pi))) == pytest.approx(0, abs=1.2)


def test_inputs_that_reach_no_output_have_no_gain() -> None:
    graph, params = block()
    unused = Node("unused", "square", ("x",), (256,))
    nodes = (graph.nodes[0], unused, *graph.nodes[1:])
    network = pack(Graph(nodes, {}), params.slots, params)
    gains = analyse(network, IMAGES[:1])
    assert gains.white[gains.sources.index(Source("unused", "rescale"))].max() == 0
