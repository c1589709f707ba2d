"""Packed networks give what their graphs give, with few rotations and diagonals."""

from __future__ import annotations

import dataclasses
import pickle
from dataclasses import replace
from math import prod

import numpy as np
import pytest

from evaluators.fhe.costs import shipped_times
from evaluators.fhe.graph import Graph
from evaluators.fhe.levels import depth
from evaluators.fhe.packed import PackedNetwork
from evaluators.fhe.packing import _chosen, pack
from evaluators.fhe.slot_run import run_linear
from spaces.ckks.params import (
    Chain,
    CkksParams,
    Embedding,
    InputPacking,
    LayerPacking,
    Rescaling,
)

PACKINGS: tuple[InputPacking, ...] = ("plain", "rotated", "columns")


def params(
    graph: Graph, log_n: int, packing: InputPacking = "plain", embedding: Embedding = "fold"
) -> CkksParams:
    layers = tuple(LayerPacking(n.name, embedding) for n in graph.nodes if n.kind == "linear")
    chain = Chain(31, (26,) * depth(graph), (45,))
    return CkksParams(log_n, chain, 26, input_packing=packing, layers=layers)


def packed(graph: Graph, log_n: int, packing: InputPacking = "plain") -> PackedNetwork:
    return pack(graph, 2 ** (log_n - 1), params(graph, log_n, packing))


@pytest.mark.parametrize("packing", PACKINGS)
@pytest.mark.parametrize("name", ["mlp", "lola"])
def test_networks_give_their_reference(networks, agree, name: str, packing: InputPacking) -> None:
    agree(packed(getattr(networks, name)(), 13, packing))


@pytest.mark.slow
@pytest.mark.parametrize("packing", ["plain", "columns"])
def test_lenet_gives_its_reference(networks, agree, packing: InputPacking) -> None:
    agree(packed(networks.lenet(), 14, packing))


@pytest.mark.parametrize("embedding", ["fold", "square"])
@pytest.mark.parametrize("packing", PACKINGS)
@pytest.mark.parametrize("log_n", [5, 7, 11])
def test_every_choice_gives_the_reference_even_in_many_ciphertexts(
    networks, agree, log_n: int, packing: InputPacking, embedding: Embedding
) -> None:
    graph = networks.chain(
        (2, 9, 9), ("conv", 3, 3, 2, 1), ("square",), ("conv", 4, 3, 2, 0), ("square",),
        ("fc", 20), ("square",), ("fc", 7),
    )  # fmt: skip
    found = pack(graph, 2 ** (log_n - 1), params(graph, log_n, packing, embedding))
    assert log_n > 5 or any(layout.ciphertexts > 1 for layout in found.layouts.values())
    if embedding == "square":
        assert not any(linear.folds for linear in list(found.linears.values())[1:])
    agree(found)


@pytest.mark.parametrize("rescaling", ["last", "soon"])
def test_layers_rescale_when_they_are_told_to(networks, agree, rescaling: Rescaling) -> None:
    graph = networks.mlp()
    layers = tuple(LayerPacking(n.name, rescaling=rescaling) for n in graph.nodes if n.linear)
    found = pack(graph, 4096, replace(params(graph, 13), layers=layers))
    for linear in found.linears.values():
        assert linear.folds
        assert linear.fold_first == (rescaling == "last")
        assert not (linear.early and linear.fold_first)
    agree(found)


@pytest.mark.parametrize("packing", PACKINGS)
@pytest.mark.parametrize("log_n", [6, 10])
def test_residual_additions(networks, agree, log_n: int, packing: InputPacking) -> None:
    found = packed(networks.residual(), log_n, packing)
    assert found.layouts["a2"] == found.layouts["act0"]
    agree(found)


@pytest.mark.parametrize("packing", PACKINGS)
def test_polynomials_meet_no_left_over_partial_sums(networks, packing: InputPacking) -> None:
    """Outside [-1, 1] a polynomial is huge, and one huge slot spoils a ciphertext."""
    graph = networks.chain((30,), ("fc", 16), ("polynomial", 7), ("fc", 12), ("polynomial", 7))
    found = packed(graph, 8, packing)
    x = np.random.default_rng(0).uniform(-0.2, 0.2, 30)
    for name in ("fc1", "fc3"):
        linear, layout = found.linears[name], found.layouts[name]
        slots = np.arange(found.slots)
        unused = ~np.isin(slots % layout.period, layout.slots)
        source = found.encode_input(x) if name == "fc1" else np.zeros((1, found.slots))
        if name == "fc3":
            source[0, np.isin(slots % found.layouts["fc1"].period, found.layouts["fc1"].slots)] = 1
        assert not run_linear(linear, source)[0, unused].any()


def test_results_repeat_with_their_period(networks) -> None:
    found = packed(networks.mlp(), 13)
    first = found.linears["fc1"]
    values = run_linear(first, found.encode_input(np.random.default_rng(0).random(784)))
    assert first.result.period == 128
    np.testing.assert_allclose(values, np.roll(values, 128, axis=1), atol=1e-12)


def test_baby_steps_are_as_many_as_demanded(networks, agree) -> None:
    graph = networks.mlp()
    for baby in (1, 4, 16):
        layers = (LayerPacking("fc1", baby=baby),)
        found = pack(graph, 4096, replace(params(graph, 13), layers=layers))
        assert len(found.linears["fc1"].babies) == baby - 1
        agree(found)


def test_few_diagonals_and_rotations(networks) -> None:
    """The counts that copies and the client's packing bring down, at Orion's sizes."""
    graph = networks.mlp()
    counts = {p: [len(v.terms) for v in packed(graph, 13, p).linears.values()] for p in PACKINGS}
    assert counts["plain"][:2] == [32, 4]  # of 784 x 128 and 128 x 128 weights in 4096 slots
    assert counts["columns"][0] == 25  # ceil(784 * 128 / 4096)
    rotations = [v.rotations for v in packed(graph, 13, "columns").linears.values()]
    assert rotations[0] == 5
    assert sum(rotations) < 25


def test_conv_after_strided_conv_has_576_diagonals(networks) -> None:
    """64 distances of channels times 9 shifts, where Orion has 1649."""
    found = packed(networks.lenet(), 14, "columns")
    assert len(found.linears["conv3"].terms) == 576
    assert found.layouts["conv1"].name == "phases 2"
    assert len(found.linears["conv1"].terms) == 25
    assert found.linears["conv1"].rotations == 0


@pytest.mark.slow
def test_search_is_remembered(networks) -> None:
    graph = networks.lenet()
    packed(graph, 15, "rotated")
    other = Graph(
        tuple(
            n if n.linear is None else replace(n, linear=replace(n.linear, bias=n.linear.bias + 1))
            for n in graph.nodes
        ),
        {},
    )
    before = _chosen.cache_info().hits
    found = packed(other, 15, "rotated")
    assert _chosen.cache_info().hits == before + 1
    assert found.linears["fc7"].bias().max() > 0.5  # new weights in the known layout


def test_dearer_rotations_change_the_split(networks) -> None:
    graph, times = networks.mlp(), shipped_times()
    rotate = {n: (0.0, 1000.0, 0.0) for n in times.coefficients["rotate"]}
    dear = replace(times, coefficients={**times.coefficients, "rotate": rotate})
    cheap = packed(graph, 13, "rotated")
    found = pack(graph, 4096, params(graph, 13, "rotated"), dear)
    assert found.linears["fc1"].rotations < cheap.linears["fc1"].rotations
    assert found.layouts["input"].ciphertexts > cheap.layouts["input"].ciphertexts


def test_packed_networks_cross_processes(networks, agree) -> None:
    graph = networks.chain((12,), ("fc", 8), ("square",), ("fc", 3))
    again = pickle.loads(pickle.dumps(packed(graph, 6)))  # noqa: S301
    assert dataclasses.is_dataclass(again)
    agree(again)


def test_inputs_larger_than_a_ciphertext_take_several(networks, agree) -> None:
    found = packed(networks.chain((100,), ("fc", 40), ("square",), ("fc", 3)), 5)
    assert found.layouts["input"].ciphertexts == 7
    assert prod(found.encode_input(np.zeros(100)).shape) == 7 * 16
    agree(found)
