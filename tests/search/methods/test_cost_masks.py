from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from evaluators.mpc.cost_2pc import Cost2PC
from search.api.errors import ConfigError, InfeasibleCandidate
from search.api.metric import Fidelity
from search.methods.cost_masks import CostMasks
from search.methods.cost_selection import original_cost, prices
from search.workloads.image import ImageClassification
from spaces.relu import ReluPlacement

RUNG = Fidelity("train", 0, {"epochs": 0.3})


def made(
    workload: ImageClassification, **options: object
) -> tuple[CostMasks, ReluPlacement, Cost2PC]:
    method = CostMasks(workload, **options)
    cost = Cost2PC(workload.sites())
    method.use_cost_models(cost.cost_models())
    space = ReluPlacement(workload.sites(), "pixel", activations=("x2act", "relu"))
    return method, space, cost


@pytest.mark.parametrize("budget", [78.0, 90.0])
def test_the_candidate_costs_at_most_the_budget_and_uses_most_of_it(
    workload: ImageClassification, recorder: Callable[..., Any], budget: float
) -> None:
    method, space, cost = made(workload, cost_budget=budget, images=128)
    ctx = recorder()
    found = method.produce(space, {}, RUNG, ctx, None)
    model = cost.cost_models()["latency_2pc"]
    whole = original_cost(space.masking, model)
    share = 100 * float(model.cost(found.payload.usage(workload.sites()))) / whole
    assert 0.8 * budget <= share <= budget + 0.01
    assert ctx.notes["saliency_images"] == 128
    assert Path(found.weights or "").is_file()


def test_all_relus_stay_within_the_whole_cost(
    workload: ImageClassification, recorder: Callable[..., Any]
) -> None:
    method, space, _ = made(workload, cost_budget=100.0)
    found = method.produce(space, {}, RUNG, recorder(), None)
    assert set(found.payload.as_mapping().values()) <= {"relu", "avg"}


def test_a_budget_below_the_polynomial_network_says_what_it_costs(
    workload: ImageClassification, recorder: Callable[..., Any]
) -> None:
    method, space, _ = made(workload, cost_budget=0.5)
    with pytest.raises(InfeasibleCandidate, match=r"without any ReLU .* still costs .* ms \(") as e:
        method.produce(space, {}, RUNG, recorder(), None)
    assert e.value.violations[0].unit == "ms"


def test_a_cost_without_model_is_named(workload: ImageClassification) -> None:
    method = CostMasks(workload, cost="energy_he")
    with pytest.raises(
        ConfigError, match=r"method\.cost: no evaluator has a cost model for 'energy_he'"
    ):
        method.use_cost_models(Cost2PC(workload.sites()).cost_models())


def test_nothing_is_spent_where_nothing_can_stay(
    workload: ImageClassification, recorder: Callable[..., Any]
) -> None:
    method, space, cost = made(workload, layers=False)
    model = cost.cost_models()["latency_2pc"]
    share = 100 * prices(space.masking, model).least / original_cost(space.masking, model)
    method, space, _ = made(workload, layers=False, cost_budget=share + 1)
    ctx = recorder()
    found = method.produce(space, {}, RUNG, ctx, None)
    assert "relu" not in found.payload.as_mapping().values()
    assert "saliency_images" not in ctx.notes
