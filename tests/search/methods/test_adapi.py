from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from evaluators.accuracy import Accuracy
from evaluators.counts import ReluCount
from evaluators.mpc.cost_2pc import Cost2PC
from search.api.errors import ConfigError, InfeasibleCandidate
from search.api.metric import Fidelity
from search.methods.adapi import WEIGHTS, AdaPI
from search.workloads.nested import load_nested
from search.workloads.plan import network_of
from spaces.relu import ReluPlacement

BOTH = Fidelity("both", 0, {"mask_epochs": 2, "member_epochs": 1})
MASKS = Fidelity("masks", 0, {"mask_epochs": 1})
MEMBERS = Fidelity("members", 1, {"member_epochs": 1})


def method(workload: Any, **options: Any) -> AdaPI:
    return AdaPI(workload, **{"densities": (0.2, 0.6), "batch_size": 32, **options})


def space(workload: Any, **options: Any) -> ReluPlacement:
    return ReluPlacement(workload.sites(), "pixel", activations=("relu", "identity"), **options)


def test_one_trial_gives_members_that_are_measured_like_any_candidate(
    workload: Any, recorder: Callable[..., Any]
) -> None:
    ctx = recorder()
    made = method(workload).produce(space(workload), {}, BOTH, ctx, None)
    assert made.weights == ctx.workdir / WEIGHTS
    assert [m.weights for m in made.members] == [made.weights] * 2
    total = sum(s.elements for s in workload.sites() if s.operator == "relu")
    sparse, dense = made.members
    counts = [ReluCount(workload.sites()).evaluate(m, BOTH, ctx)[0].value for m in (sparse, dense)]
    assert counts == [round(0.2 * total), round(0.6 * total)]
    cost = Cost2PC(workload.sites())
    latency = [cost.evaluate(m, BOTH, ctx)[0].value for m in (sparse, dense)]
    assert latency[0] < latency[1]
    found = [Accuracy(workload).evaluate(m, BOTH, ctx)[0].value for m in (sparse, dense)]
    assert found[0] > 25
    assert found[1] > 50
    spent = (2 + 2 * 1) * (len(workload.data.train) // 32) * 32
    assert ctx.notes["gradient_evaluations"] == spent
    assert ctx.notes["artefact_bytes"] == made.weights.stat().st_size


def test_two_rungs_keep_the_masks(workload: Any, recorder: Callable[..., Any]) -> None:
    ctx, made = recorder(), method(workload)
    first = made.produce(space(workload), {}, MASKS, ctx, None)
    before = load_nested(first.weights)  # type: ignore[arg-type]
    second = made.produce(space(workload), {}, MEMBERS, ctx, first)
    after = load_nested(second.weights)  # type: ignore[arg-type]
    assert first.payload == second.payload
    assert all(torch.equal(before.levels[n], after.levels[n]) for n in before.levels)
    assert not torch.equal(before.shared["0.weight"], after.shared["0.weight"])


def test_without_mask_training_the_order_is_that_of_the_teacher(
    workload: Any, recorder: Callable[..., Any]
) -> None:
    ctx = recorder()
    rung = Fidelity("x", 0, {"mask_epochs": 0})
    made = method(workload).produce(space(workload), {}, rung, ctx, None)
    nested = load_nested(made.weights)  # type: ignore[arg-type]
    kept = torch.cat([nested.shared[n][v > 0] for n, v in nested.levels.items()])
    assert "mask_seconds" not in ctx.notes
    dropped = int(sum((v == 0).sum() for v in nested.levels.values()))
    assert len(kept) == round(0.6 * (len(kept) + dropped))
    network = network_of(workload, made.members[1].payload, made.weights)  # type: ignore[arg-type]
    assert bool(torch.isfinite(network(workload.data.test.x[:3])).all())


@pytest.mark.parametrize(
    "options",
    [
        {"mask_training": "penalty", "initial_scores": "uniform", "attention": 500.0},
        {"initial_scores": "lamp", "growth": "zero", "inherit": False, "augmentation": "shift"},
        {"relu_densities": (0.0, 1.0), "distillation": 0.0},
    ],
)
def test_every_way_gives_networks(
    workload: Any, recorder: Callable[..., Any], options: dict[str, Any]
) -> None:
    ctx = recorder()
    rung = Fidelity("x", 0, {"mask_epochs": 0.5, "member_epochs": 0.5})
    made = method(workload, **options).produce(space(workload), {}, rung, ctx, None)
    for member in made.members:
        assert Accuracy(workload).evaluate(member, rung, ctx)[0].value > 5


def test_fixed_relus_count_within_the_budget(workload: Any, recorder: Callable[..., Any]) -> None:
    first = next(s for s in workload.sites() if s.operator == "relu")
    fixed = space(workload, fixed={first.name: "relu"})
    rung = Fidelity("x", 0, {"mask_epochs": 0})
    with pytest.raises(InfeasibleCandidate, match="are fixed"):
        method(workload).produce(fixed, {}, rung, recorder(), None)
    made = method(workload, relu_densities=(0.7, 0.9)).produce(fixed, {}, rung, recorder(), None)
    total = fixed.masking.total
    (count, _) = ReluCount(workload.sites()).evaluate(made.members[0], rung, recorder())
    assert count.value == round(0.7 * total)


def test_what_it_needs_is_told(workload: Any, recorder: Callable[..., Any]) -> None:
    made = method(workload)
    with pytest.raises(ConfigError, match="needs a budget of mask_epochs"):
        made.produce(space(workload), {}, MEMBERS, recorder(), None)
    with pytest.raises(ConfigError, match="adapi finds masks of ReLUs"):
        made.produce(SimpleNamespace(kind="other"), {}, BOTH, recorder(), None)
    with pytest.raises(ConfigError, match="needs? .*workload|got no workload"):
        AdaPI(None)
    other = method(workload).produce(space(workload), {}, MASKS, recorder(), None).members[0]
    with pytest.raises(ConfigError, match="trains nested networks further"):
        made.produce(space(workload), {}, MEMBERS, recorder(), other)
