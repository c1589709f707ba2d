import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from evaluators.accuracy import Accuracy
from search.api.metric import Fidelity
from search.methods.pruning.admm import Admm, tightening
from search.methods.pruning.magnitude import MagnitudePruning
from spaces.pruning.plan import PruningPlan, Schedule

RUNG = Fidelity("train", 0, {"epochs": 6})


@pytest.mark.slow
def test_the_map_onto_the_structure_costs_less_than_without_admm(
    workload: Any, plan: PruningPlan, space: Any, recorder: Callable[..., Any]
) -> None:
    """With hardly any retraining ADMM keeps what pruning at once loses."""
    ctx = recorder()
    plan = dataclasses.replace(plan, schedule=Schedule(1, 1e-2, 1.0))  # for a hundred steps
    drawn = Admm(workload, batch_size=64, retrain_share=0.02, update_every=5, learning_rate=0.005)
    found = [
        Accuracy(workload).evaluate(method.produce(space(plan), {}, rung, ctx, None), rung, ctx)[0]
        for method, rung in (
            (drawn, RUNG),
            (MagnitudePruning(workload, batch_size=64, way="one_shot"),
             Fidelity("train", 0, {"epochs": 0.12})),
        )
    ]  # fmt: skip
    assert found[0].value > found[1].value + 5
    assert ctx.notes["admm_primal_residual"] < 1.0


def test_rounds_tighten_fast_at_first() -> None:
    assert tightening(1) == [1.0]
    assert tightening(2) == [0.875, 1.0]


def test_a_round_starts_from_what_the_one_before_left(
    workload: Any, plan: PruningPlan, space: Any, recorder: Callable[..., Any]
) -> None:
    ctx = recorder()
    schedule = dataclasses.replace(plan.schedule, rounds=2)
    two = dataclasses.replace(plan, schedule=schedule)
    made = Admm(workload, batch_size=64).produce(
        space(two), {}, Fidelity("t", 0, {"epochs": 2}), ctx, None
    )
    assert made.payload == two
    assert ctx.notes["gradient_evaluations"] == pytest.approx(2 * len(workload.data.train), rel=0.1)
