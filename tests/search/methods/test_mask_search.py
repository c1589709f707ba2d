from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from search.methods.mask_method import MaskTask
from search.methods.mask_search import (
    TRAVEL,
    GatedActivation,
    GateOptions,
    GateRule,
    Gates,
    annealed_budget,
    close_gates,
    indicator,
    learn_gates,
    open_gates,
)
from search.methods.mask_students import masked_at, masked_student
from search.workloads.masked import MaskedActivation
from spaces.relu import ReluPlacement

TOTAL = 4 * 8 * 8 + 8 * 4 * 4


class Uniform(GateRule):
    """A rule that pushes every ``a`` alike, and records what it is asked."""

    def __init__(self, *, hard: bool) -> None:
        self.hard = hard
        self.steps = 0
        self.asked: list[int] = []
        self.tenths = 0
        self.enough: int | None = None

    def start(self, gates: Gates, steps: int, seed: int) -> None:
        self.steps = steps

    def before(self, gates: Gates, step: int) -> None:
        self.asked.append(step)

    def penalty(self, gates: Gates, step: int) -> torch.Tensor:
        return 1e3 * torch.stack([a.sum() for a in gates.parameters]).sum()

    def tenth_done(self, gates: Gates) -> None:
        self.tenths += 1

    def found(self, gates: Gates) -> bool:
        return len(self.asked) == self.enough


@pytest.fixture
def task(workload: Any, recorder: Callable[..., Any]) -> Callable[..., MaskTask]:
    from search.methods.teacher import load_teacher

    def make(granularity: str = "pixel", epochs: float = 1.0, **options: Any) -> MaskTask:
        ctx = recorder(f"{granularity}{epochs}", **options)
        teacher = load_teacher(workload, ctx)
        space = ReluPlacement(
            workload.sites(), granularity, activations=("relu", "poly2"), pools=("max",)
        )
        network = masked_student(teacher.network, space.masking, c=20.0)
        split = workload.data.train
        soft = teacher.logits(split, "cpu")
        return MaskTask(
            network, space.masking, 20, epochs, teacher.network, soft, split, {}, ctx
        )  # fmt: skip

    return make


def test_the_indicator_gives_the_mask_and_softplus_of_a_as_its_gradient() -> None:
    a = torch.tensor([-2.0, -0.1, 0.1, 2.0], requires_grad=True)
    mask = torch.tensor([True, False, True, False])
    out = indicator(a, mask)
    assert out.tolist() == [1.0, 0.0, 1.0, 0.0]
    upstream = torch.tensor([1.0, -3.0, 0.5, 2.0])
    out.backward(upstream)
    assert a.grad is not None
    torch.testing.assert_close(a.grad, upstream * F.softplus(a.detach()))


@pytest.mark.parametrize("hard", [True, False])
def test_a_gated_activation_mixes_and_has_one_gate_per_unit(hard: bool) -> None:
    masked = MaskedActivation(nn.ReLU(), nn.Identity(), (2, 3, 3))
    gated = GatedActivation(masked, (2, 1, 1), hard=hard)
    with torch.no_grad():
        gated.a.copy_(torch.tensor([0.25, 0.0]).view(2, 1, 1))
    gated.get_buffer("mask").copy_(torch.tensor([True, False]).view(2, 1, 1))
    x = torch.randn(5, 2, 3, 3, generator=torch.Generator().manual_seed(0))
    g = 1.0 if hard else 0.25
    out = gated(x)
    torch.testing.assert_close(out[:, 0], g * x[:, 0].relu() + (1 - g) * x[:, 0])
    torch.testing.assert_close(out[:, 1], x[:, 1])
    out.sum().backward()
    want = (x.relu() - x).sum(dim=(0, 2, 3)).view(2, 1, 1)
    scale = F.softplus(gated.a.detach()) if hard else torch.ones(2, 1, 1)
    assert gated.a.grad is not None
    torch.testing.assert_close(gated.a.grad, want * scale)


@pytest.mark.parametrize(("granularity", "size"), [("pixel", 1), ("channel", 64), ("layer", 256)])
def test_gates_open_and_close_without_changing_the_function(
    task: Callable[..., MaskTask], granularity: str, size: int
) -> None:
    made = task(granularity)
    network = made.network.eval()
    x = made.split.x[:7]
    before = network(x)
    gates = open_gates(made, hard=False)
    torch.testing.assert_close(network(x), before)
    assert gates.total == TOTAL
    assert float(gates.kept().detach()) == TOTAL
    assert gates.elements[made.masking.free[0].name] == size
    close_gates(made, gates)
    torch.testing.assert_close(network(x), before)
    assert all(masked_at(network, s.name).count == s.elements for s in made.masking.free)


@pytest.mark.parametrize("hard", [True, False])
def test_the_loop_trains_weights_and_gates_and_puts_masks_back(
    task: Callable[..., MaskTask], hard: bool
) -> None:
    made = task(epochs=2.0)
    old = {n: p.detach().clone() for n, p in made.network.named_parameters()}
    rule = Uniform(hard=hard)
    found = learn_gates(made, rule, GateOptions(batch_size=64), learning_rate=1e-3)
    per_epoch = len(made.split) // 64
    assert rule.steps == 2 * per_epoch
    assert rule.asked == list(range(rule.steps + 1))  # once a step, and for the last masks
    assert rule.tenths == 9
    assert found.gradient_evaluations == rule.steps * 64
    new = dict(made.network.named_parameters())
    assert old.keys() == new.keys()  # no auxiliary parameter is left behind
    # A polynomial that no gate lets through has no gradient.
    met = [n for n in old if not (hard and "replacement" in n)]
    assert all(not torch.equal(old[n], new[n]) for n in met)
    assert len(found.counts) == 10
    assert all(masked_at(made.network, s.name).count == s.elements for s in made.masking.free)
    for site in made.masking.free:
        # A push that dominates moves a by the rate in each step of Adam: by TRAVEL in all.
        a = found.scores[site.name]
        assert a.shape == site.input_shape
        torch.testing.assert_close(a, torch.full_like(a, 1 - TRAVEL), atol=0.02, rtol=0)


def test_a_rate_of_ones_own_replaces_the_derived_one(task: Callable[..., MaskTask]) -> None:
    options = GateOptions(indicator_learning_rate=1e-3, batch_size=64)
    made = task(epochs=0.5)
    rule = Uniform(hard=True)
    found = learn_gates(made, rule, options, learning_rate=1e-3)
    a = found.scores[made.masking.free[0].name]
    torch.testing.assert_close(a, torch.full_like(a, 1 - 1e-3 * rule.steps), atol=1e-3, rtol=0)


@pytest.mark.parametrize("augmentation", ["none", "shift"])
def test_equal_seeds_give_equal_scores(task: Callable[..., MaskTask], augmentation: str) -> None:
    def scores() -> dict[str, torch.Tensor]:
        made = task(epochs=0.3)
        options = GateOptions(augmentation=augmentation, batch_size=64)
        return dict(learn_gates(made, Uniform(hard=True), options, learning_rate=1e-3).scores)

    one, two = scores(), scores()
    assert all(torch.equal(one[n], two[n]) for n in one)


def test_it_stops_when_asked_and_says_what_it_spent(task: Callable[..., MaskTask]) -> None:
    made = task(epochs=1.0, stop_after=3)
    options = GateOptions(batch_size=64)
    found = learn_gates(made, Uniform(hard=True), options, learning_rate=1e-3)
    assert found.gradient_evaluations == 3 * 64
    assert all(
        isinstance(made.network.get_submodule(s.name), MaskedActivation) for s in made.masking.free
    )


def test_a_rule_that_has_found_its_masks_leaves_the_rest_of_the_epochs(
    task: Callable[..., MaskTask],
) -> None:
    made = task(epochs=1.0)
    rule = Uniform(hard=False)
    rule.enough = 4
    found = learn_gates(made, rule, GateOptions(batch_size=64), learning_rate=1e-3)
    assert found.gradient_evaluations == 4 * 64


def test_the_cubic_budget_descends_from_all_to_the_budget_and_rests_there() -> None:
    budgets = [annealed_budget(step, 100, 1000, 50, "cubic") for step in range(100)]
    assert budgets == sorted(budgets, reverse=True)
    assert 900 < budgets[0] < 1000
    assert budgets[44] == pytest.approx(50 + 950 * 0.5**3)
    assert budgets[89:] == [50.0] * 11
    assert annealed_budget(0, 100, 1000, 50, "constant") == 50.0


def test_settled_relus_count_as_kept() -> None:
    masked = MaskedActivation(nn.ReLU(), nn.Identity(), (4,))
    gates = Gates({"a": GatedActivation(masked, (4,), hard=False)}, {"a": 1}, 10, 12)
    assert gates.total == 14
    assert float(gates.kept().detach()) == 14.0
