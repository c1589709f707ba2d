from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pydantic import ValidationError

from search.api.metric import Fidelity
from search.methods.deepreduce import DeepReduce
from search.workloads.masked import masks_of
from search.workloads.plan import network_of
from spaces.relu import ReluPlacement

TOTAL = 384
SIZES = (256, 128)


def produce(method: Any, workload: Any, ctx: Any, epochs: float = 0, unit: str = "pixel") -> Any:
    space = ReluPlacement(workload.sites(), unit, activations=("relu", "identity"), pools=("max",))
    return method.produce(space, {}, Fidelity("train", 0, {"epochs": epochs}), ctx, None)


def kept(made: Any, workload: Any) -> list[float]:
    names = [s.name for s in workload.sites() if s.kind == "activation"]
    found = dict.fromkeys(names, 0.0)
    for work in made.payload.usage(workload.sites()):
        if work.operator == "relu":
            found[work.site] += work.elements
    return list(found.values())


@pytest.mark.parametrize("percent", [1, 20, 40, 90])
def test_layers_are_filled_by_criticality_and_the_last_is_thinned(
    workload: Any, recorder: Callable[..., Any], percent: float
) -> None:
    ctx = recorder()
    made = produce(DeepReduce(workload, relu_budget=percent), workload, ctx)
    critical = list(ctx.notes["criticality"].values())
    first = critical.index(max(critical))
    want = [0.0, 0.0]
    budget = round(percent / 100 * TOTAL)
    want[first] = min(budget, SIZES[first])
    want[1 - first] = budget - want[first]
    assert kept(made, workload) == want


def test_criticality_is_the_gain_over_the_worst_per_relu(
    workload: Any, recorder: Callable[..., Any]
) -> None:
    ctx = recorder()
    produce(DeepReduce(workload, exponent=0.5), workload, ctx)
    alone, critical = ctx.notes["accuracy_alone"], ctx.notes["criticality"]
    worst = min(alone.values())
    for (name, accuracy), size in zip(alone.items(), SIZES, strict=True):
        assert critical[name] == pytest.approx((accuracy - worst) / size**0.5, abs=1e-2)


def test_a_layer_is_thinned_evenly(workload: Any, recorder: Callable[..., Any]) -> None:
    made = produce(DeepReduce(workload, relu_budget=16), workload, recorder())
    (mask,) = masks_of(network_of(workload, made.payload, made.weights)).values()
    per_channel = mask.flatten(1).sum(1)
    assert int(per_channel.max() - per_channel.min()) <= 2
    rows = mask.sum((0, 2)).float()
    assert float(rows.max() / rows.mean()) < 1.6


def test_all_layers_may_be_thinned(workload: Any, recorder: Callable[..., Any]) -> None:
    method = DeepReduce(workload, relu_budget=25, layer_share=0.25)
    assert kept(produce(method, workload, recorder()), workload) == [64, 32]
    method = DeepReduce(workload, relu_budget=50, layer_share=0.25)
    assert sum(kept(produce(method, workload, recorder("more")), workload)) == 192


def test_channels_stay_whole(workload: Any, recorder: Callable[..., Any]) -> None:
    first, second = kept(
        produce(DeepReduce(workload, relu_budget=50), workload, recorder(), unit="channel"),
        workload,
    )
    assert first % 64 == 0
    assert second % 16 == 0
    assert first + second == 192


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_measuring_counts_as_training(
    workload: Any, recorder: Callable[..., Any], share: float
) -> None:
    ctx = recorder()
    method = DeepReduce(workload, mask_share=share, held_out=96)
    produce(method, workload, ctx, epochs=3)
    per_epoch = len(workload.data.train) // 128 * 128
    # Measuring takes no whole batches; training that is left does.
    assert ctx.notes["gradient_evaluations"] == pytest.approx(3 * per_epoch, abs=64)
    training = [values for _, values in ctx.reports if any("alone" in name for name in values)]
    assert bool(training) == (share > 0)


def test_the_seed_decides(workload: Any, recorder: Callable[..., Any]) -> None:
    made = [
        produce(DeepReduce(workload), workload, recorder(str(i)), epochs=1).payload
        for i in range(2)
    ]
    assert made[0] == made[1]


@pytest.mark.parametrize("options", [{"mask_share": 1}, {"held_out": 0}, {"layer_share": 0},
                                     {"exponent": -1}])  # fmt: skip
def test_wrong_options_are_refused(workload: Any, options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=next(iter(options))):
        DeepReduce(workload, **options)
