"""Latency and precision without running anything encrypted."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from evaluators.fhe.costs import shipped_times
from evaluators.fhe.failures import BackendFailure
from evaluators.fhe.packing import pack
from evaluators.fhe.prediction import modelled_bits, predicted_latency, simulated_bits
from evaluators.fhe.seal_host import block
from spaces.ckks.params import Chain, LayerPacking

IMAGES = np.random.default_rng(1).uniform(-1, 1, (2, 256))


def test_scale_buys_precision_bit_by_bit_and_no_time() -> None:
    graph, params = block()
    packed = pack(graph, params.slots, params)
    more = replace(params, chain=Chain(35, (30,) * 5, (49,)), scale=30)
    low, high = modelled_bits(packed, [params, more], IMAGES)
    assert high.mean - low.mean == pytest.approx(4, abs=0.01)
    assert high.worst - low.worst == pytest.approx(4, abs=0.01)
    times = shipped_times()
    assert predicted_latency(packed, more, times) == predicted_latency(packed, params, times)


def test_rescaling_last_takes_some_time_and_gives_bits() -> None:
    graph, params = block()
    layers = tuple(LayerPacking(f"fc{i}", rescaling="soon") for i in range(3))
    soon = replace(params, layers=layers)
    found = {}
    for chosen in (params, soon):
        packed = pack(graph, params.slots, chosen)
        bits = modelled_bits(packed, [chosen], IMAGES)[0]
        found[chosen] = bits.mean, predicted_latency(packed, chosen, shipped_times()).server
    assert 2 < found[params][0] - found[soon][0] < 5
    assert 1.02 < found[params][1] / found[soon][1] < 1.3


def test_order_of_folds_is_part_of_the_question() -> None:
    graph, params = block()
    packed = pack(graph, params.slots, params)
    linears = {k: replace(v, fold_first=False) for k, v in packed.linears.items()}
    after = replace(packed, linears=linears)
    first, second = (modelled_bits(p, [params], IMAGES)[0].mean for p in (packed, after))
    assert first > second + 2


def test_special_prime_near_the_first_costs_precision() -> None:
    graph, params = block()
    packed = pack(graph, params.slots, params)
    near = replace(params, chain=replace(params.chain, special=(31,)))
    far, close = modelled_bits(packed, [params, near], IMAGES)
    assert 1.5 < far.mean - close.mean < 6
    assert far.worst - close.worst > far.mean - close.mean  # it sits in few slots


def test_worst_is_below_mean_and_shares_add_up() -> None:
    graph, params = block()
    packed = pack(graph, params.slots, params)
    found = modelled_bits(packed, [params], IMAGES)[0]
    assert found.mean - 4 < found.worst < found.mean - 0.5
    assert sum(found.by_node.values()) == pytest.approx(1)
    assert found.by_node["fc0"] > found.by_node["x"]


def test_simulation_agrees_with_the_model() -> None:
    graph, params = block()
    packed = pack(graph, params.slots, params)
    model = modelled_bits(packed, [params], IMAGES)[0]
    drawn = simulated_bits(packed, params, IMAGES, repeats=4, seed=1)
    assert drawn.mean == pytest.approx(model.mean, abs=0.4)
    assert drawn.worst == pytest.approx(model.worst, abs=1.2)
    assert not drawn.by_node


def test_other_weights_are_analysed_anew() -> None:
    graph, params = block()
    packed = pack(graph, params.slots, params)
    first = modelled_bits(packed, [params], IMAGES)[0]
    nodes = tuple(
        replace(n, linear=replace(n.linear, matrix=n.linear.matrix * 2)) if n.linear else n
        for n in graph.nodes
    )
    loud = pack(replace(graph, nodes=nodes), params.slots, params)
    assert modelled_bits(loud, [params], IMAGES)[0].mean < first.mean - 2


def test_a_chain_that_is_too_short_is_a_failure() -> None:
    graph, params = block()
    packed = pack(graph, params.slots, params)
    short = replace(params, chain=Chain(31, (26,), (45,)))
    with pytest.raises(BackendFailure, match="depth"):
        modelled_bits(packed, [short], IMAGES)
    with pytest.raises(BackendFailure, match="depth"):
        predicted_latency(packed, short, shipped_times())
