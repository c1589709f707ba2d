from __future__ import annotations

from typing import Any

import pytest
import torch

from evaluators.mpc.cost_2pc import Cost2PC
from search.methods.gates import Gates, Relaxable
from search.workloads.operators import operator_of
from spaces.relu import ReluPlacement


@pytest.fixture
def space(workload: Any) -> ReluPlacement:
    return ReluPlacement(workload.sites())


@pytest.fixture
def gated(workload: Any, space: ReluPlacement) -> tuple[Any, Gates]:
    network = workload.build(0)
    return network, Gates(network, space.options, workload.sites())


def one_hot(gates: Gates, chosen: dict[str, str]) -> None:
    """Alphas whose softmax is one-hot in float32."""
    for alpha, (site, names) in zip(
        gates.alphas(), {s: list(o) for s, o in gates.values().items()}.items(), strict=True
    ):
        with torch.no_grad():
            alpha.copy_(torch.tensor([200.0 if n == chosen[site] else 0.0 for n in names]))


def plans(space: ReluPlacement) -> list[dict[str, str]]:
    first = {site: options[0] for site, options in space.options.items()}
    last = {site: options[-1] for site, options in space.options.items()}
    mixed = {s: o[i % 2] for i, (s, o) in enumerate(space.options.items())}
    return [first, last, mixed]


def test_the_space_is_relaxable(space: ReluPlacement) -> None:
    assert isinstance(space, Relaxable)


def test_gates_start_even_and_mix_their_branches(gated: Any, workload: Any) -> None:
    network, gates = gated
    assert all(v == 0.5 for shares in gates.values().values() for v in shares.values())
    site = next(s for s in gates.values() if "relu" in gates.values()[s])
    x = torch.randn(3, 4, 8, 8)
    gate = network.get_submodule(site)
    polynomial = next(b for b in gate.branches if operator_of(b) == "x2act")
    assert torch.allclose(gate(x), 0.5 * x.relu() + 0.5 * polynomial(x))


@pytest.mark.parametrize("which", [0, 1, 2])
def test_one_hot_gates_are_the_hardened_network(
    gated: Any, workload: Any, space: ReluPlacement, which: int
) -> None:
    network, gates = gated
    chosen = plans(space)[which]
    one_hot(gates, chosen)
    x = workload.data.validation.x[:16]
    network.eval()
    soft = network(x)
    assert gates.chosen() == chosen
    assert gates.harden() == chosen
    assert torch.allclose(network(x), soft, atol=1e-6)
    assert {s: operator_of(network.get_submodule(s)) for s in chosen} == chosen


@pytest.mark.parametrize("which", [0, 1, 2])
def test_soft_cost_at_one_hot_is_the_hard_cost(
    gated: Any, workload: Any, space: ReluPlacement, which: int
) -> None:
    _, gates = gated
    chosen = plans(space)[which]
    one_hot(gates, chosen)
    for model in Cost2PC(workload.sites()).cost_models().values():
        soft = float(model.cost(space.relaxed_usage(gates.shares())).detach())
        assert soft == pytest.approx(model.cost(space.usage(space.plan(chosen))), rel=1e-6)


def test_parameters_are_split(gated: Any) -> None:
    network, gates = gated
    alphas = {id(p) for p in gates.alphas()}
    weights = {id(p) for p in gates.weights()}
    assert not alphas & weights
    assert alphas | weights == {id(p) for p in network.parameters()}
    assert len(alphas) == 3


def test_the_original_network_is_known(gated: Any, workload: Any) -> None:
    _, gates = gated
    assert [list(entry) for entry in gates.original().values()] == [["relu"], ["max"], ["relu"]]
    fewer = ReluPlacement(workload.sites(), activations=("identity", "x2act"))
    other = Gates(workload.build(0), fewer.options, workload.sites())
    assert next(iter(other.original().values())) == {"x2act": 1.0}


def test_a_tie_goes_to_the_first_operator(gated: Any, space: ReluPlacement) -> None:
    _, gates = gated
    assert gates.chosen() == plans(space)[0]


def test_options_reach_the_polynomials(workload: Any, space: ReluPlacement) -> None:
    network = workload.build(0)
    Gates(network, space.options, workload.sites(), {"x2act": {"c": 16.0}})
    scales = [m.scale for m in network.modules() if operator_of(m) == "x2act"]
    assert scales == pytest.approx([16 / (4 * 64) ** 0.5, 16 / (8 * 16) ** 0.5])
