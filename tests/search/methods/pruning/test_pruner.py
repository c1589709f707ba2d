from collections.abc import Callable
from typing import Any

import pytest
import torch

from evaluators.accuracy import Accuracy
from search.api.errors import ConfigError, EvaluationError
from search.api.metric import Fidelity
from search.methods.pruning.admm import Admm
from search.methods.pruning.masks import layer_weights
from search.methods.pruning.options import PruningOptions
from search.methods.pruning.pruner import PruningMethod
from search.workloads.plan import network_of
from spaces.pruning.plan import PruningPlan


def rung(**budget: float) -> Fidelity:
    return Fidelity("train", 0, budget)


def nonzeros(workload: Any, candidate: Any) -> dict[str, int]:
    network = network_of(workload, candidate.payload, candidate.weights)
    return {site: int((w != 0).sum()) for site, w in layer_weights(network).items()}


def test_every_layer_has_just_what_the_plan_keeps(
    workload: Any, plan: PruningPlan, space: Any, recorder: Callable[..., Any]
) -> None:
    ctx = recorder()
    made = Admm(workload, batch_size=64).produce(space(plan), {}, rung(epochs=2), ctx, None)
    assert nonzeros(workload, made) == {e.site: e.kept for e in plan.layers}
    assert ctx.notes["gradient_evaluations"] == pytest.approx(2 * len(workload.data.train), rel=0.1)
    assert set(ctx.notes) >= {"admm_primal_residual", "admm_dual_residual", "admm_worst_layer"}


def test_a_second_rung_trains_on_under_the_masks(
    workload: Any, plan: PruningPlan, space: Any, recorder: Callable[..., Any]
) -> None:
    method, ctx = Admm(workload, batch_size=64), recorder()
    first = method.produce(space(plan), {}, rung(epochs=1), ctx, None)
    before = network_of(workload, plan, first.weights).state_dict()
    second = method.produce(space(plan), {}, rung(epochs=1), ctx, first)
    after = network_of(workload, plan, second.weights).state_dict()
    for name, value in before.items():
        if name.endswith("weight"):
            assert torch.equal(value != 0, after[name] != 0)
            assert not torch.equal(value, after[name])


def test_quantised_weights_lie_on_their_levels(
    workload: Any, plan: PruningPlan, levels: Any, space: Any, recorder: Callable[..., Any]
) -> None:
    import dataclasses

    plan, ctx = dataclasses.replace(plan, levels=levels), recorder()
    method = Admm(workload, batch_size=64)
    made = method.produce(space(plan), {}, rung(epochs=3), ctx, None)
    assert nonzeros(workload, made) == {e.site: e.kept for e in plan.layers}
    weights = layer_weights(network_of(workload, plan, made.weights))
    for entry, most in zip(levels, (8, 4), strict=True):
        values = weights[entry.site].detach()
        assert len(torch.unique(values[values != 0].abs())) <= most
    ratio = weights["classifier"].detach().abs()
    ratio = torch.unique(ratio[ratio > 0]) / ctx.notes["levels_interval"]["classifier"]
    assert all(abs(float(r) - n) < 1e-3 * n for r in ratio
               for n in [min((1, 2, 4, 8), key=lambda k: abs(k - float(r)))])  # fmt: skip
    with pytest.raises(EvaluationError, match="quantised network cannot be trained on"):
        method.produce(space(plan), {}, rung(epochs=1), ctx, made)


def test_a_rung_without_epochs_or_another_space(
    workload: Any, plan: PruningPlan, space: Any, recorder: Callable[..., Any]
) -> None:
    with pytest.raises(ConfigError, match="admm needs a budget of epochs"):
        Admm(workload).produce(space(plan), {}, rung(steps=1), recorder(), None)
    with pytest.raises(ConfigError, match="expected pruning_ratio"):
        Admm(workload).produce(space("a plan"), {}, rung(epochs=1), recorder(), None)
    with pytest.raises(ConfigError, match="workload"):
        Admm.from_config(PruningOptions(), None)


def test_options_may_be_searched(workload: Any) -> None:
    method = Admm(workload, learning_rate={"real": [1e-4, 1e-2], "log": True})
    assert [p.name for p in method.params()] == ["learning_rate"]
    assert isinstance(method, PruningMethod)


def test_stopped_trials_end_soon(
    workload: Any, plan: PruningPlan, space: Any, recorder: Callable[..., Any]
) -> None:
    ctx = recorder(stop_after=5)
    made = Admm(workload, batch_size=64).produce(space(plan), {}, rung(epochs=200), ctx, None)
    assert ctx.notes["gradient_evaluations"] < 64 * 10
    assert Accuracy(workload).evaluate(made, rung(), ctx)[0].value > 0
