from collections.abc import Callable
from typing import Any

import pytest

from evaluators.accuracy import Accuracy
from search.api.metric import Fidelity
from search.methods.pruning.magnitude import MagnitudePruning, sparser
from search.methods.pruning.masks import layer_weights
from search.workloads.plan import network_of
from spaces.pruning.plan import LayerPruning, PruningPlan

RUNG = Fidelity("train", 0, {"epochs": 2})


@pytest.mark.parametrize(("way", "curvature"), [("one_shot", 0), ("gradual", 0), ("gradual", 0.5)])
def test_every_way_keeps_what_the_plan_says_at_equal_cost(
    workload: Any, plan: PruningPlan, space: Any, recorder: Callable[..., Any],
    way: str, curvature: float,
) -> None:  # fmt: skip
    ctx = recorder()
    method = MagnitudePruning(
        workload, batch_size=64, way=way, curvature=curvature, learning_rate=0.005
    )
    made = method.produce(space(plan), {}, RUNG, ctx, None)
    network = network_of(workload, plan, made.weights)
    kept = {site: int((w != 0).sum()) for site, w in layer_weights(network).items()}
    assert kept == {e.site: e.kept for e in plan.layers}
    assert ctx.notes["gradient_evaluations"] == pytest.approx(2 * len(workload.data.train), rel=0.1)
    assert Accuracy(workload).evaluate(made, RUNG, ctx)[0].value > 30


def test_layers_get_sparser_together() -> None:
    plan = PruningPlan((LayerPruning("a", "filter", 2, 10), LayerPruning("b", "element", 50, 100)))
    assert [e.kept for e in sparser(plan, 0.5).layers] == [6, 75]
    assert sparser(plan, 1.0) == plan
