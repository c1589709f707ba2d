from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from search.api.metric import Fidelity
from search.methods.mask_search import GatedActivation, Gates
from search.methods.snl import SNL, SNLOptions, SNLRule
from search.workloads.masked import MaskedActivation, masks_of
from search.workloads.plan import network_of
from spaces.relu import ReluPlacement

TOTAL = 4 * 8 * 8 + 8 * 4 * 4
RUNG = Fidelity("train", 0, {"epochs": 2.0})


def gates_of(*a: float, budget: int = 2) -> Gates:
    masked = MaskedActivation(nn.ReLU(), nn.Identity(), (len(a),))
    gated = GatedActivation(masked, (len(a),), hard=False)
    with torch.no_grad():
        gated.a.copy_(torch.tensor(a))
    return Gates({"s": gated}, {"s": 1}, 3, budget)


def test_gates_start_at_one_and_their_l1_norm_is_the_penalty() -> None:
    gates = gates_of(0.0, 0.0, 0.0)
    rule = SNLRule(weight=0.5)
    rule.start(gates, 10, seed=0)
    assert gates.sites["s"].a.tolist() == [1.0, 1.0, 1.0]
    with torch.no_grad():
        gates.sites["s"].a.copy_(torch.tensor([1.0, -0.5, 0.0]))
    assert float(rule.penalty(gates, 0).detach()) == pytest.approx(0.75)


def test_a_gate_counts_above_the_threshold_and_settled_relus_always() -> None:
    rule = SNLRule(threshold=0.01)
    assert rule.counts(gates_of(0.5, 0.011, 0.009, -1.0)) == 2 + 3


def test_alpha_grows_until_few_enough_gates_are_alive() -> None:
    rule = SNLRule(weight=1.0, growth=1.5)
    many, few = gates_of(1.0, 1.0, 1.0, budget=5), gates_of(1.0, 1.0, 0.0, budget=5)
    rule.tenth_done(many)
    assert rule.weight == 1.5
    assert not rule.found(many)
    rule.tenth_done(few)
    assert rule.weight == 1.5
    assert rule.found(few)


def test_alpha_is_derived_from_the_first_gradients_of_the_task() -> None:
    gates = gates_of(1.0, 1.0)
    gates.sites["s"].a.grad = torch.tensor([0.3, -0.4])
    rule = SNLRule()
    assert float(rule.penalty(gates, 0)) == 0
    rule.first_gradients(gates)
    assert rule.weight == pytest.approx((0.25 / 2) ** 0.5)
    given = SNLRule(weight=0.0)
    given.first_gradients(gates)
    assert given.weight == 0.0


@pytest.mark.parametrize("replacement", ["identity", "poly2"])
@pytest.mark.parametrize("percent", [5, 40])
def test_the_count_is_exactly_the_budget(
    workload: Any, recorder: Callable[..., Any], replacement: str, percent: float
) -> None:
    ctx = recorder()
    method = SNL(workload, SNLOptions(relu_budget=percent, batch_size=64))
    placement = ReluPlacement(
        workload.sites(), "pixel", activations=("relu", replacement), pools=("max",)
    )
    candidate = method.produce(placement, {}, RUNG, ctx, None)
    budget = round(percent / 100 * TOTAL)
    works = candidate.payload.usage(workload.sites())
    assert sum(w.elements for w in works if w.operator == "relu") == budget
    assert candidate.weights is not None
    network = network_of(workload, candidate.payload, candidate.weights)
    assert sum(int(m.sum()) for m in masks_of(network).values()) == budget
    counts = ctx.notes["relus_while_learning"]
    assert counts[-1] < counts[0] <= TOTAL
    per_epoch = len(workload.data.train) // 64 * 64
    assert ctx.notes["gradient_evaluations"] == pytest.approx(2 * per_epoch, abs=64)
