import dataclasses
from collections.abc import Sequence

import numpy as np
import pytest
import torch

from evaluators.cost_table import Constant, CostTable, find_table
from evaluators.linear import LinearCost, Rate
from evaluators.mpc.cost_2pc import TABLES
from evaluators.mpc.cpu_times import CpuTimes
from evaluators.mpc.networks import Network
from evaluators.mpc.protocol_2pc import (
    Layers,
    MaxPool,
    Protocol2PC,
    check_fixed,
    cost_models,
    folds,
    window_of,
)
from search.api.errors import ConfigError, EvaluationError
from search.api.network import Site, fixed_work, part_work, scaled_work

LINK = Network("test", 1e6, 0.02)
CONV = Site("c", "conv", "conv", (2, 4, 4), (6, 4, 4), macs=16 * 108, weights=108)
NORM = Site("n", "norm", "batchnorm", (6, 4, 4), (6, 4, 4), weights=6)
ACT = Site("a", "activation", "relu", (6, 4, 4), (6, 4, 4))
POOL = Site("p", "pool", "maxpool", (6, 4, 4), (6, 2, 2), attributes={"kernel": 2})
SITES = (CONV, NORM, ACT, POOL)


def shipped(name: str, **overrides: float | str) -> CostTable:
    return CostTable.load(find_table(name, TABLES)).overridden(overrides)


def models(
    name: str,
    sites: Sequence[Site] = SITES,
    network: Network = LINK,
    times: CpuTimes | None = None,
    maxpool: MaxPool = "own",
    layers: Layers = "all",
) -> dict[str, LinearCost]:
    return cost_models(Protocol2PC(shipped(name), times, maxpool, layers), network, sites)


def measured(**seconds: Rate) -> CpuTimes:
    return CpuTimes("crypten", "box", "2026-01-31", seconds)


def test_latency_is_cpu_and_hops_and_bytes() -> None:
    times = measured(relu=Rate(call=0.5, element=0.001))
    latency = models("crypten", times=times)["latency_2pc"]
    expected = 0.5 + 96 * 0.001 + 9 * 0.01 + 96 * 464 / 1e6
    assert latency.cost([fixed_work(ACT)]) == pytest.approx(1e3 * expected)
    silent = models("crypten", network=Network("none", float("inf"), 0.0), times=times)
    assert silent["latency_2pc"].cost([fixed_work(ACT)]) == pytest.approx(596)


def test_energy_is_power_of_all_parties_times_latency() -> None:
    for name, parties in (("crypten", 2), ("aby3", 3)):
        found = models(name)
        work = [fixed_work(s) for s in SITES]
        joules = found["latency_2pc"].cost(work) / 1e3 * 65 * parties
        assert found["energy_2pc"].cost(work) == pytest.approx(joules)


def test_measured_times_replace_those_of_the_table_where_there_are_any() -> None:
    plain = Protocol2PC(shipped("crypten"))
    own = Protocol2PC(shipped("crypten"), measured(x2act=Rate(call=9.0), relu=Rate(call=7.0)))
    assert own.expenses["relu"].cpu == Rate(call=7.0)
    assert own.expenses["x2act"].cpu == own.expenses["poly2"].cpu == Rate(call=9.0)
    assert own.expenses["conv"] == plain.expenses["conv"]
    assert own.expenses["poly3"] == plain.expenses["poly3"]
    more = Protocol2PC(shipped("crypten"), measured(poly2=Rate(call=1.0), poly3=Rate(call=2.0)))
    assert more.expenses["poly2"].cpu == Rate(call=1.0)
    assert more.expenses["poly3"].cpu == Rate(call=2.0)
    assert more.expenses["x2act"] == plain.expenses["x2act"]


def test_identity_flatten_dropout_and_a_folded_norm_are_free() -> None:
    for name in ("crypten", "semi2k", "gc_ring"):
        found = models(name, (ACT,))
        for operator in ("identity", "batchnorm", "flatten", "dropout"):
            work = [fixed_work(ACT, operator)]
            assert all(model.cost(work) == 0 for model in found.values())


def test_a_norm_that_stands_alone_is_a_product() -> None:
    assert folds(CONV, NORM)
    assert not folds(ACT, NORM)
    assert not folds(None, NORM)
    assert not folds(dataclasses.replace(CONV, output_shape=(6, 2, 2)), NORM)
    alone = (dataclasses.replace(ACT, name="b"), NORM)
    assert models("crypten")["bytes_2pc"].cost([fixed_work(NORM)]) == 0
    found = models("crypten", alone)
    assert found["bytes_2pc"].cost([fixed_work(NORM)]) * 1e6 == pytest.approx(16 * (96 + 6))
    assert found["rounds_2pc"].cost([fixed_work(NORM)]) == 1
    assert models("semi2k", alone)["rounds_2pc"].cost([fixed_work(NORM)]) == 2.2
    with pytest.raises(ConfigError, match=r"n: a batch norm that no layer before it takes in"):
        models("gc_ring", alone)
    assert models("gc_ring", alone, layers="nonlinear")


def test_a_cap_doubles_the_bytes_of_a_relu_and_keeps_its_hops() -> None:
    relu6 = dataclasses.replace(ACT, attributes={"cap": 6})
    once, twice = models("crypten", (ACT,)), models("crypten", (relu6,))
    work = [fixed_work(ACT)]
    assert twice["bytes_2pc"].cost(work) == pytest.approx(2 * once["bytes_2pc"].cost(work))
    assert twice["rounds_2pc"].cost(work) == once["rounds_2pc"].cost(work) == 9


def test_windows() -> None:
    assert window_of(POOL) == 4
    assert window_of(dataclasses.replace(POOL, attributes={"kernel": 3})) == 9
    assert window_of(dataclasses.replace(POOL, attributes={"kernel_h": 2, "kernel_w": 3})) == 6
    wide = dataclasses.replace(POOL, attributes={"kernel": 3})
    found = [models("semi2k", (s,))["bytes_2pc"].cost([fixed_work(s)]) for s in (POOL, wide)]
    assert found[1] / found[0] == pytest.approx(8 / 3)


@pytest.mark.parametrize("name", ["crypten", "semi2k", "aby3", "delphi"])
def test_a_tree_of_relus_for_any_protocol(name: str) -> None:
    relu, tree = models(name, (ACT,)), models(name, (POOL,), maxpool="tree")
    work = [fixed_work(POOL)]
    per = relu["bytes_2pc"].cost([part_work(ACT, "relu", 1.0)])
    assert tree["bytes_2pc"].cost(work) == pytest.approx(3 * 24 * per)
    levels = tree["rounds_2pc"].cost(work) / relu["rounds_2pc"].cost([fixed_work(ACT)])
    assert levels == pytest.approx(2)
    if name == "delphi":
        assert tree["offline_bytes_2pc"].cost(work) == pytest.approx(3 * 24 * 17_500 / 1e6)


def test_groups_of_a_convolution_unfold_the_whole_input() -> None:
    depthwise = Site("d", "conv", "conv", (8, 4, 4), (8, 4, 4), macs=16 * 72, weights=72,
                     attributes={"groups": 8, "kernel": 3})  # fmt: skip
    sent = models("semi2k", (depthwise,))["bytes_2pc"].cost([fixed_work(depthwise)]) * 1e6
    assert sent == pytest.approx(16 * (16 * 9 * 8 + 72) + 8 * 128)


def test_a_linear_layer_unfolds_to_its_input() -> None:
    fc = Site("fc", "linear", "linear", (8,), (10,), macs=80, weights=80)
    sent = models("semi2k", (fc,))["bytes_2pc"].cost([fixed_work(fc)]) * 1e6
    assert sent == pytest.approx(16 * (8 + 80) + 8 * 10)


def test_a_convolution_of_another_network_is_refused_where_its_shape_matters() -> None:
    with pytest.raises(EvaluationError, match="other: operator 'conv' has no cost"):
        models("semi2k")["bytes_2pc"].cost([dataclasses.replace(fixed_work(CONV), site="other")])


def test_fewer_bits_are_cheaper_and_the_whole_width_is_the_plain_relu() -> None:
    for name in ("crypten", "semi2k", "cheetah_fm64", "aby3", "cryptflow2_ring"):
        found = models(name, (ACT,), layers="nonlinear")
        plain = fixed_work(ACT)
        width = {"cryptflow2_ring": 32}.get(name, 64)
        for metric in ("latency_2pc", "bytes_2pc", "rounds_2pc", "energy_2pc"):
            cost = found[metric].cost
            assert cost([dataclasses.replace(plain, bits=width)]) == pytest.approx(cost([plain]))
            assert cost([dataclasses.replace(plain, bits=8)]) < cost([plain])
        with pytest.raises(EvaluationError, match=rf"a: .*expected 1 to {width}"):
            found["bytes_2pc"].cost([dataclasses.replace(plain, bits=width + 1)])


def test_offline_metrics_only_where_they_are_known() -> None:
    online = ["latency_2pc", "bytes_2pc", "rounds_2pc", "energy_2pc"]
    assert list(models("crypten")) == online  # a dealer
    assert list(models("cheetah_fm64")) == online  # nothing is left for before
    assert list(models("delphi")) == [*online, "offline_bytes_2pc"]
    sent = models("delphi", (ACT,))["offline_bytes_2pc"]
    assert sent.cost([fixed_work(ACT)]) == pytest.approx(96 * 17_500 / 1e6)
    assert sent.cost([fixed_work(ACT, "identity")]) == 0


def test_offline_latency_of_a_table_that_has_it() -> None:
    table = shipped("delphi")
    more = {"relu_offline_cpu_element": Constant(1, "ms", "test", "2026-01-31")}
    table = dataclasses.replace(table, constants={**table.constants, **more})
    found = cost_models(Protocol2PC(table), LINK, (ACT,))
    late = found["offline_latency_2pc"].cost([fixed_work(ACT)])
    assert late == pytest.approx(96 * (1 + 17_500 / 1e6 * 1e3))
    # A square has known bytes there, but no known time.
    with pytest.raises(EvaluationError, match="operator 'x2act' has no cost"):
        found["offline_latency_2pc"].cost([fixed_work(ACT, "x2act")])
    with pytest.raises(ConfigError, match=r"offline_latency_2pc: c: operator 'conv' has no cost"):
        check_fixed(cost_models(Protocol2PC(table), LINK, SITES), SITES, None)


def test_nonlinear_layers_alone() -> None:
    found = models("crypten", layers="nonlinear")
    work = [fixed_work(s) for s in SITES]
    alone = models("crypten")["bytes_2pc"].cost([fixed_work(ACT), fixed_work(POOL)])
    assert found["bytes_2pc"].cost(work) == pytest.approx(alone)


def test_unknown_formulas() -> None:
    with pytest.raises(ConfigError, match=r"formulas: unknown formulas 'magic' \(known: rows, cr"):
        Protocol2PC(dataclasses.replace(shipped("semi2k"), formulas="magic"))


def test_relaxed_and_vectorised_work() -> None:
    for name in ("crypten", "semi2k", "delphi"):
        for model in models(name).values():
            share = torch.tensor(0.25, dtype=torch.float64, requires_grad=True)
            soft = model.cost([scaled_work(s, s.operator, share) for s in SITES])
            soft.backward()
            whole = model.cost([fixed_work(s) for s in SITES])
            assert soft.item() == pytest.approx(whole / 4)
            assert share.grad is not None
            assert share.grad.item() == pytest.approx(whole)
            array = model.cost([scaled_work(s, s.operator, np.array([0.0, 1.0])) for s in SITES])
            assert array == pytest.approx([0.0, whole])


def test_sources_say_table_network_and_whose_times() -> None:
    made = cost_models(Protocol2PC(shipped("crypten")), LINK, SITES, "CPU times of mine")
    for model in made.values():
        assert "CrypTen" in model.metric.source
        assert "test (8 Mbit/s, 20 ms round trip)" in model.metric.source
        assert model.metric.source.endswith("CPU times of mine")
