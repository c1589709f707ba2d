import dataclasses
from collections.abc import Callable
from typing import Any

from evaluators.accuracy import Accuracy
from search.api.metric import Fidelity
from search.methods.pruning.masks import layer_weights
from search.methods.pruning.progressive import ProgressiveAdmm
from search.workloads.plan import network_of
from spaces.pruning.plan import PruningPlan, Schedule


def test_rounds_come_from_the_option_unless_the_plan_says(workload: Any, plan: PruningPlan) -> None:
    method = ProgressiveAdmm(workload, rounds=3)
    assert method.schedule(plan, 1.0).rounds == 3
    four = dataclasses.replace(plan, schedule=Schedule(4))
    assert method.schedule(four, 1.0).rounds == 4


def test_by_default_each_round_has_two_updates(workload: Any, plan: PruningPlan) -> None:
    method = ProgressiveAdmm(workload, batch_size=64, update_every=5)
    steps = method.steps(4.0)
    assert method.schedule(plan, 4.0).rounds == steps // 10 > 3
    assert method.schedule(plan, 0.0).rounds == 1


def test_rounds_leave_what_the_plan_keeps(
    workload: Any, plan: PruningPlan, space: Any, recorder: Callable[..., Any]
) -> None:
    ctx = recorder()
    method = ProgressiveAdmm(workload, batch_size=64, update_every=5, learning_rate=0.005)
    made = method.produce(space(plan), {}, Fidelity("train", 0, {"epochs": 4}), ctx, None)
    network = network_of(workload, plan, made.weights)
    kept = {site: int((w != 0).sum()) for site, w in layer_weights(network).items()}
    assert kept == {e.site: e.kept for e in plan.layers}
    assert Accuracy(workload).evaluate(made, Fidelity("t", 0), ctx)[0].value > 30
