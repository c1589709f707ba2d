from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from search.api.errors import ConfigError, InfeasibleCandidate
from search.api.metric import Fidelity
from search.methods.autorep import (
    CONSTANT_INIT,
    PULL,
    AutoReP,
    AutoRePOptions,
    AutoRePRule,
    hysteresis,
    use_authors_coefficients,
)
from search.methods.mask_search import GatedActivation, Gates
from search.workloads.dapa import Polynomial, authors_coefficients
from search.workloads.masked import MaskedActivation, masks_of
from search.workloads.plan import network_of
from spaces.relu import ReluPlacement

TOTAL = 4 * 8 * 8 + 8 * 4 * 4
RUNG = Fidelity("train", 0, {"epochs": 2.0})


def space(workload: Any, replacement: str = "identity", granularity: str = "pixel") -> Any:
    return ReluPlacement(
        workload.sites(), granularity, activations=("relu", replacement), pools=("max",)
    )


def gates_of(a: list[float], *, budget: int = 2) -> Gates:
    masked = MaskedActivation(nn.ReLU(), nn.Identity(), (len(a),))
    gated = GatedActivation(masked, (len(a),), hard=True)
    with torch.no_grad():
        gated.a.copy_(torch.tensor(a))
    return Gates({"s": gated}, {"s": 1}, 0, budget)


def test_the_indicator_changes_its_mind_only_outside_the_band() -> None:
    a = torch.tensor([-0.02, -0.005, 0.005, 0.02])
    kept, gone = torch.ones(4, dtype=torch.bool), torch.zeros(4, dtype=torch.bool)
    assert hysteresis(kept, a, 0.01).tolist() == [False, True, True, True]
    assert hysteresis(gone, a, 0.01).tolist() == [False, False, False, True]
    assert torch.equal(hysteresis(kept, a, 0.0), a > 0)
    assert torch.equal(hysteresis(gone, a, 0.0), a > 0)


def test_the_mask_starts_full_and_is_updated_once_a_step() -> None:
    gates = gates_of([0.0] * 4)
    gated = gates.sites["s"]
    gated.get_buffer("mask").fill_(False)
    rule = AutoRePRule(hysteresis=0.01)
    rule.start(gates, 10, seed=0)
    assert gated.get_buffer("mask").all()
    assert torch.equal(gated.a.detach(), torch.full((4,), CONSTANT_INIT))
    with torch.no_grad():
        gated.a.copy_(torch.tensor([-0.005, -0.02, 0.0, 1.0]))
    rule.before(gates, 0)
    assert gated.get_buffer("mask").tolist() == [True, False, True, True]
    with torch.no_grad():
        gated.a.copy_(torch.tensor([-0.02, 0.005, 0.0, -1.0]))
    rule.before(gates, 1)
    assert gated.get_buffer("mask").tolist() == [False, False, True, False]


def test_the_published_first_values_are_uniform_and_follow_the_seed() -> None:
    found = []
    for seed in (0, 0, 1):
        gates = gates_of([0.0] * 1000)
        AutoRePRule(init="uniform").start(gates, 10, seed)
        found.append(gates.sites["s"].a.detach().clone())
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])
    assert 0 <= float(found[0].min()) < 0.01
    assert 0.99 < float(found[0].max()) <= 1
    assert float(found[0].mean()) == pytest.approx(0.5, abs=0.05)


def test_the_hinge_counts_what_lies_above_the_budget_and_then_switches_off() -> None:
    gates = gates_of([1.0, 2.0, 3.0, 4.0], budget=1)
    rule = AutoRePRule(weight=8.0, schedule="constant")
    penalty = rule.penalty(gates, 0)
    assert float(penalty.detach()) == pytest.approx(8.0 * (4 - 1) / 4)
    penalty.backward()
    a = gates.sites["s"].a
    assert a.grad is not None
    torch.testing.assert_close(a.grad, 8.0 / 4 * nn.functional.softplus(a.detach()))
    gates.sites["s"].get_buffer("mask").copy_(torch.tensor([True, False, False, False]))
    a.grad = None
    off = rule.penalty(gates, 0)
    off.backward()
    assert float(off.detach()) == 0
    assert a.grad is None or not a.grad.any()


def test_the_cubic_hinge_asks_for_little_at_first_and_for_the_budget_in_the_end() -> None:
    gates = gates_of([1.0] * 100, budget=10)
    rule = AutoRePRule(weight=1.0, schedule="cubic")
    rule.start(gates, 50, 0)
    asked = [float(rule.penalty(gates, step).detach()) for step in range(50)]
    assert asked == sorted(asked)
    assert 0 < asked[0] < 0.1
    assert asked[-1] == pytest.approx(0.9)


def test_lambda_is_derived_from_the_first_gradients_of_the_task() -> None:
    gates = gates_of([0.1, 1.0, 2.0, -1.0], budget=1)
    rule = AutoRePRule()
    rule.start(gates, 10, 0)
    assert rule.weight is None
    assert float(rule.penalty(gates, 0)) == 0
    a = gates.sites["s"].a
    upstream = torch.tensor([3.0, -3.0, 3.0, -3.0])
    a.grad = upstream * nn.functional.softplus(a.detach())
    rule.first_gradients(gates)
    assert rule.weight == pytest.approx(PULL * 3.0 * 4)
    a.grad = None
    rule.penalty(gates, 9).backward()
    pull = PULL * 3.0 * nn.functional.softplus(a.detach())
    assert a.grad is not None
    torch.testing.assert_close(a.grad, pull)


def test_lambda_grows_while_the_budget_is_exceeded_and_then_rests() -> None:
    gates = gates_of([1.0] * 8, budget=2)
    rule = AutoRePRule(weight=1.0, growth=5.0, schedule="constant")
    rule.start(gates, 10, 0)
    for step in range(10):
        rule.penalty(gates, step)
    assert rule.weight == pytest.approx(math.exp(5.0))  # four times the budget counts as twice
    mask = gates.sites["s"].get_buffer("mask")
    mask.copy_(torch.arange(8) < 3)  # half as much again
    rule.penalty(gates, 0)
    assert rule.weight == pytest.approx(math.exp(5.0 + 0.25))
    mask.copy_(torch.arange(8) < 2)
    rule.penalty(gates, 0)
    assert rule.weight == pytest.approx(math.exp(5.0 + 0.25))


def test_a_given_lambda_stays() -> None:
    gates = gates_of([0.1] * 4)
    gates.sites["s"].a.grad = torch.ones(4)
    rule = AutoRePRule(weight=7.0)
    rule.first_gradients(gates)
    assert rule.weight == 7.0


def test_a_task_without_gradient_still_gets_a_lambda() -> None:
    gates = gates_of([0.1] * 4)
    gates.sites["s"].a.grad = torch.zeros(4)
    rule = AutoRePRule()
    rule.first_gradients(gates)
    assert rule.weight is not None
    assert rule.weight > 0


@pytest.mark.parametrize("replacement", ["identity", "poly2", "x2act"])
@pytest.mark.parametrize("percent", [0, 5, 40, 100])
def test_the_count_is_exactly_the_budget(
    workload: Any, recorder: Callable[..., Any], replacement: str, percent: float
) -> None:
    ctx = recorder()
    method = AutoReP(workload, AutoRePOptions(relu_budget=percent, batch_size=64))
    candidate = method.produce(space(workload, replacement), {}, RUNG, ctx, None)
    budget = round(percent / 100 * TOTAL)
    works = candidate.payload.usage(workload.sites())
    assert sum(w.elements for w in works if w.operator == "relu") == budget
    assert candidate.weights is not None
    network = network_of(workload, candidate.payload, candidate.weights)
    if 0 < percent < 100:
        assert sum(int(m.sum()) for m in masks_of(network).values()) == budget
        counts = ctx.notes["relus_while_learning"]
        assert len(counts) == 10
        assert counts[-1] < TOTAL
    # Finding masks and fine-tuning together take the rung's epochs.
    per_epoch = len(workload.data.train) // 64 * 64
    assert ctx.notes["gradient_evaluations"] == pytest.approx(2 * per_epoch, abs=64)


@pytest.mark.parametrize("granularity", ["channel", "layer"])
def test_larger_units_stay_within_the_budget(
    workload: Any, recorder: Callable[..., Any], granularity: str
) -> None:
    method = AutoReP(workload, relu_budget=70, batch_size=64)
    made = method.produce(space(workload, "identity", granularity), {}, RUNG, recorder(), None)
    works = made.payload.usage(workload.sites())
    kept = sum(w.elements for w in works if w.operator == "relu")
    size = 64 if granularity == "channel" else 128
    assert 0 < kept <= 0.7 * TOTAL
    assert kept % 16 == 0
    assert kept > 0.7 * TOTAL - 2 * size


@pytest.mark.parametrize("percent", [100.5, 1000])
def test_a_budget_above_all_is_infeasible(
    workload: Any, recorder: Callable[..., Any], percent: float
) -> None:
    method = AutoReP(workload, relu_budget=percent)
    with pytest.raises(InfeasibleCandidate, match="the network has 384 ReLU elements"):
        method.produce(space(workload), {}, RUNG, recorder(), None)


def test_learning_leaves_the_order_of_the_first_values_where_the_paper_keeps_it(
    workload: Any, recorder: Callable[..., Any]
) -> None:
    """What the default mends: with U(0, 1) the final masks are those of the first draw."""
    from search.methods.exact_masks import exact_masks

    kept = {}
    budget = round(0.2 * TOTAL)
    masking = space(workload).masking
    noise = torch.Generator().manual_seed(0)
    draws = {s.name: torch.rand(s.input_shape, generator=noise) for s in masking.free}
    first = exact_masks(draws, masking, budget, kept=None)
    for init in ("uniform", "constant"):
        method = AutoReP(
            workload, relu_budget=20, batch_size=64, indicator_init=init, budget_weight=140.0
        )
        made = method.produce(space(workload), {}, RUNG, recorder(init), None)
        assert made.weights is not None
        masks = masks_of(network_of(workload, made.payload, made.weights))
        kept[init] = sum(int((first[n] & m).sum()) for n, m in masks.items()) / budget
    assert kept["uniform"] > kept["constant"] + 0.2


def test_the_authors_polynomial_is_an_option(workload: Any, recorder: Callable[..., Any]) -> None:
    polynomial = Polynomial(2, 3)
    mean, std = torch.tensor([-1.0, 0.0, 0.5]), torch.tensor([0.5, 1.0, 2.0])
    polynomial.fit(mean, std)
    use_authors_coefficients(nn.Sequential(polynomial))
    want = authors_coefficients(mean, std**2)
    torch.testing.assert_close(polynomial.coefficients().float(), want)
    method = AutoReP(workload, relu_budget=10, authors=True, batch_size=64)
    assert method.produce(space(workload, "poly2"), {}, RUNG, recorder(), None).weights
    with pytest.raises(ConfigError, match="degree 2 alone"):
        method.produce(space(workload, "poly3"), {}, RUNG, recorder("other"), None)


def test_options_are_strict() -> None:
    with pytest.raises(ValidationError):
        AutoRePOptions(indicator_init="normal")  # type: ignore[arg-type]
    with pytest.raises(ValidationError):
        AutoRePOptions(hysteresis=-1.0)
    with pytest.raises(ValidationError):
        AutoRePOptions(indicator_learning_rate=0.0)
