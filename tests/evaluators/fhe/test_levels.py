"""Limbs and exact scales, and the circuit that follows."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.sparse import csr_array

from evaluators.fhe.failures import BackendFailure
from evaluators.fhe.graph import Graph, Linear, Node
from evaluators.fhe.levels import (
    assign,
    circuit_of,
    consumed,
    deferred,
    depth,
    limbs,
    nominal_primes,
)
from evaluators.fhe.packing import pack
from spaces.ckks.params import Chain, CkksParams


def params(levels: int, scale: int = 26, log_n: int = 11) -> CkksParams:
    return CkksParams(log_n, Chain(31, (scale,) * levels, (45,)), scale)


@pytest.mark.parametrize(("name", "expected"), [("mlp", 5), ("lola", 5), ("lenet", 7)])
def test_depth_is_that_of_orion(networks, name: str, expected: int) -> None:
    assert depth(getattr(networks, name)()) == expected


def test_polynomials_consume_the_levels_of_their_plan(networks) -> None:
    graph = networks.chain((8,), ("fc", 4), ("polynomial", 7), ("fc", 2))
    assert consumed(graph.nodes[2]) == 3
    assert depth(graph) == 5


def test_shorter_branches_are_entered_late(networks) -> None:
    graph = networks.residual()
    found = limbs(graph)
    assert found["fc"] == 1
    assert found["input"] == depth(graph) + 1
    assert found["short"] == found["b2"] == found["add2"]
    assert found["act2"] == found["b1"] + 1  # and the shortcut drops what it does not need
    given = assign(graph, params(depth(graph)))
    assert given["short"].limbs_in == found["short"] + 1 < found["act2"]


def test_scales_are_followed_exactly(networks) -> None:
    graph = networks.chain((8,), ("fc", 4), ("square",), ("fc", 2))
    primes = [2.0**31 - 1, 2.0**26 - 5, 2.0**26 + 3, 2.0**26 + 9]
    found = assign(graph, params(3), primes)
    first, square, last = (found[n] for n in ("fc1", "square2", "fc3"))
    scale = 2.0**26
    assert first.weight_scale == scale * primes[3] / scale
    assert first.scale_out == scale
    assert square.scale_out == scale * scale / primes[2]
    assert last.weight_scale == scale * primes[1] / square.scale_out
    assert (last.limbs_in, last.limbs_out, last.scale_out) == (2, 1, scale)


def test_spare_levels_stay_unused(networks) -> None:
    graph = networks.chain((8,), ("fc", 4))
    primes = [2.0**31, 2.0**26 + 3, 2.0**26 + 9]
    found = assign(graph, params(2), primes)
    assert found["input"].limbs_out == 2
    assert found["fc1"].weight_scale == primes[1]


def test_too_few_levels_are_a_failure_that_names_the_fix(networks) -> None:
    graph = networks.chain((8,), ("fc", 4), ("square",), ("fc", 2))
    with pytest.raises(BackendFailure, match="depth: the network consumes 3 levels.*add 2 primes"):
        assign(graph, params(1))


def test_linear_map_aims_at_the_other_operand(networks) -> None:
    """A square has scale s^2 / q; the shortcut joins it there."""
    graph = networks.residual()
    nodes = [n for n in graph.nodes if n.name not in ("fc", "act4")]
    square = Node("b3", "square", ("b2",), nodes[-1].shape)
    nodes[-1:] = [square, replace(nodes[-1], inputs=("short", "b3"))]
    primes = [2.0**31] + [2.0**26 + 2 * k + 1 for k in range(12)]
    found = assign(Graph(tuple(nodes), {}), params(12), primes)
    assert found["short"].scale_out == found["b3"].scale_out != 2.0**26
    assert found["add2"].scale_in == found["b3"].scale_out


def test_operands_that_cannot_agree_are_a_failure() -> None:
    one = Linear(csr_array(np.eye(4)), np.zeros(4))
    nodes = (
        Node("input", "input", (), (4,)),
        Node("a", "linear", ("input",), (4,), one),
        Node("b", "square", ("a",), (4,)),
        Node("c", "square", ("b",), (4,)),
        Node("sum", "add", ("b", "c"), (4,)),
    )
    graph = Graph(nodes, {})
    with pytest.raises(BackendFailure, match=r"scale_mismatch: sum: b has scale 2\^2\d\..*c 2\^"):
        assign(graph, params(3), [2.0**31, 2.0**26 - 5, 2.0**26 + 3, 2.0**26 + 9])
    assert assign(graph, params(3))["sum"].scale_out == 2.0**26  # primes equal to the scale


def test_nominal_primes_are_powers_of_two() -> None:
    assert nominal_primes(params(2)) == (2.0**31, 2.0**26, 2.0**26)


def test_circuit_counts_what_an_engine_does(networks) -> None:
    graph = networks.chain((64,), ("fc", 64), ("square",), ("fc", 10))
    packed = pack(graph, 1024, params(3))
    circuit = circuit_of(packed, params(3))
    assert [s.node for s in circuit.stages] == [
        "input",
        *(n.name for n in graph.nodes[1:]),
        "output",
    ]
    for name, before in (("fc1", 4), ("fc3", 2)):
        linear = packed.linears[name]
        stage = next(s for s in circuit.stages if s.node == name)
        total: dict[str, int] = {}
        for count in stage.counts:
            total[count.operation] = total.get(count.operation, 0) + count.count
            assert count.limbs in (before, before - 1)
        assert total["rotate"] == linear.rotations
        assert total["multiply_plain"] == len(linear.terms)
        assert total["add"] == len(linear.terms) - 1 + len(linear.folds)
        assert (stage.limbs_in, stage.limbs_out) == (before, before - 1)
        assert circuit.weights[name] == (before, len(linear.terms))
        steps = {step for _, step in linear.babies | linear.giants} | set(linear.folds)
        assert steps <= set(circuit.rotations)
    square = next(s for s in circuit.stages if s.node == "square2")
    assert {(c.operation, c.limbs, c.count) for c in square.counts} == {
        ("square", 3, 1), ("relinearise", 3, 1), ("rescale", 3, 1)
    }  # fmt: skip
    assert circuit.relinearise
    assert 0 not in circuit.rotations
    sent, got = circuit.stages[0], circuit.stages[-1]
    assert [(c.operation, c.limbs, c.count, c.place) for c in sent.counts + got.counts] == [
        ("encode", 4, 1, "client"), ("encrypt", 4, 1, "client"),
        ("decrypt", 1, 1, "client"), ("decode", 1, 1, "client"),
    ]  # fmt: skip
    assert math.isclose(sent.scale_out, 26)


def test_circuit_switches_operands_of_shorter_branches(networks) -> None:
    graph = networks.residual()
    chosen = params(depth(graph))
    circuit = circuit_of(pack(graph, 1024, chosen), chosen)
    stage = next(s for s in circuit.stages if s.node == "short")
    switch = [c for c in stage.counts if c.operation == "mod_switch"]
    assert [(c.limbs, c.count) for c in switch] == [(limbs(graph)["act2"], 1)]


def paired(chain: Chain, scale: int, log_n: int = 11) -> CkksParams:
    return CkksParams(log_n, chain, scale, drops="paired")


@pytest.mark.parametrize(("name", "expected"), [("mlp", 3), ("lola", 3), ("lenet", 4)])
def test_squares_in_pairs_cost_no_limb(networks, name: str, expected: int) -> None:
    assert depth(getattr(networks, name)(), "paired") == expected


def test_a_pair_rescales_once_behind_its_linear_map(networks) -> None:
    graph = networks.chain((8,), ("fc", 4), ("square",), ("fc", 2))
    primes = [2.0**31 - 1, 2.0**50 - 5, 2.0**26 + 9]
    found = assign(graph, paired(Chain(31, (50, 26), (55,)), 26), primes)
    square, last = found["square2"], found["fc3"]
    scale = 2.0**26
    assert (square.limbs_in, square.limbs_out, square.scale_out) == (2, 2, scale**2)
    assert (last.limbs_in, last.limbs_out, last.scale_in) == (2, 1, scale**2)
    assert last.weight_scale == scale * primes[1] / scale**2
    assert last.scale_out == scale


def test_only_squares_that_linear_maps_alone_read_are_deferred(networks) -> None:
    graph = networks.residual()
    assert deferred(graph, "each") == frozenset()
    assert deferred(graph, "paired") == {"act1", "act2", "act3", "act4"}  # act0 is added, too
    assert depth(graph, "paired") == depth(graph) - 4
    ends = networks.chain((8,), ("fc", 4), ("square",), ("square",), ("polynomial", 3))
    assert deferred(ends, "paired") == frozenset()
    assert deferred(networks.chain((8,), ("fc", 4), ("square",)), "paired") == frozenset()


def test_polynomials_keep_their_levels_among_pairs(networks) -> None:
    graph = networks.chain((8,), ("fc", 4), ("square",), ("fc", 4), ("polynomial", 7), ("fc", 2))
    found = assign(graph, paired(Chain(36, (30, 30, 30, 30, 58, 30), (60,)), 30))
    assert found["polynomial4"].limbs_in - found["polynomial4"].limbs_out == 3
    assert found["polynomial4"].scale_out == found["fc3"].scale_out == 2.0**30
    assert found["fc3"].weight_scale == 2.0**28


def test_the_circuit_of_pairs_has_no_rescaling_of_squares(networks) -> None:
    graph = networks.chain((64,), ("fc", 64), ("square",), ("fc", 10))
    chosen = paired(Chain(31, (50, 26), (55,)), 26)
    circuit = circuit_of(pack(graph, 1024, chosen), chosen)
    square = next(s for s in circuit.stages if s.node == "square2")
    assert [(c.operation, c.limbs) for c in square.counts] == [("square", 2), ("relinearise", 2)]
    assert (square.limbs_in, square.limbs_out, square.scale_out) == (2, 2, 52.0)


def test_scales_rise_where_a_prime_is_too_small_for_scale_and_weights(networks) -> None:
    graph = networks.chain((8,), ("fc", 4), ("square",), ("fc", 4), ("square",), ("fc", 2))
    chosen = replace(paired(Chain(58, (60, 60, 31), (60,)), 31), weight_bits=32)
    found = assign(graph, chosen)
    scales = [math.log2(found[name].scale_out) for name in ("fc1", "fc3", "fc5")]
    assert scales == [31.0, 34.0, 40.0]  # 2 * 31 + 32 - 60, 2 * 34 + 32 - 60
    assert all(found[name].weight_scale == 2.0**32 for name in ("fc3", "fc5"))
    roomy = replace(chosen, chain=Chain(40, (60, 60, 29), (60,)), scale=29, weight_bits=31)
    primes = [2.0**40, 2.0**60 - 1e12, 2.0**60 - 2e12, 2.0**29 + 9]  # less than 2^60, as primes are
    assert assign(graph, roomy, primes)["fc5"].scale_out == 2.0**29
