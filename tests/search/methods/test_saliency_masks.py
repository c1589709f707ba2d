from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from search.api.metric import Fidelity
from search.methods.fixed_masks import RandomMasks
from search.methods.saliency_masks import SnipMasks
from search.workloads.masked import masks_of
from search.workloads.plan import network_of
from spaces.relu import ReluPlacement

TOTAL = 384


def produce(method: Any, workload: Any, ctx: Any, epochs: float = 0, unit: str = "pixel") -> Any:
    space = ReluPlacement(workload.sites(), unit, activations=("relu", "identity"), pools=("avg",))
    return method.produce(space, {}, Fidelity("train", 0, {"epochs": epochs}), ctx, None)


def relus(made: Any, workload: Any) -> float:
    return sum(float(w.elements) for w in made.payload.usage(workload.sites())
               if w.operator == "relu")  # fmt: skip


@pytest.mark.parametrize("criterion", ["snip", "signed", "fisher"])
@pytest.mark.parametrize("rounds", [1, 3])
@pytest.mark.parametrize("percent", [2, 50])
def test_the_budget_is_met_exactly(
    workload: Any, recorder: Callable[..., Any], criterion: str, rounds: int, percent: float
) -> None:
    method = SnipMasks(
        workload, relu_budget=percent, criterion=criterion, rounds=rounds, images=128
    )
    made = produce(method, workload, recorder())
    assert relus(made, workload) == round(percent / 100 * TOTAL)


def test_looking_counts_as_training(workload: Any, recorder: Callable[..., Any]) -> None:
    spent = []
    for method in (RandomMasks(workload), SnipMasks(workload, images=256, rounds=2)):
        ctx = recorder(method.name)
        produce(method, workload, ctx, epochs=2)
        spent.append(ctx.notes["gradient_evaluations"])
    assert spent[0] == spent[1]
    assert ctx.notes["saliency_images"] == 512


def test_channels_stay_whole(workload: Any, recorder: Callable[..., Any]) -> None:
    made = produce(SnipMasks(workload, relu_budget=30), workload, recorder(), unit="channel")
    assert made.weights is not None
    for mask in masks_of(network_of(workload, made.payload, made.weights)).values():
        per_channel = mask.flatten(1)
        assert torch.equal(per_channel.all(1), per_channel.any(1))
    assert TOTAL * 0.3 - 16 < relus(made, workload) <= TOTAL * 0.3


def test_salient_relus_hurt_less_to_keep_than_random_ones(
    workload: Any, recorder: Callable[..., Any]
) -> None:
    def loss(method: Any, seed: int) -> float:
        made = produce(method, workload, recorder(f"{method.name}{seed}", seed=seed))
        network, data = network_of(workload, made.payload, made.weights), workload.data.train
        with torch.no_grad():
            return float(torch.nn.functional.cross_entropy(network(data.x), data.y))

    random = [loss(RandomMasks(workload, relu_budget=20), seed) for seed in range(3)]
    salient = [loss(SnipMasks(workload, relu_budget=20, criterion="fisher"), s) for s in range(3)]
    assert sum(salient) < sum(random) - 0.15


@pytest.mark.parametrize("options", [{"rounds": 0}, {"images": 0}, {"criterion": "size"}])
def test_wrong_options_are_refused(workload: Any, options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=next(iter(options))):
        SnipMasks(workload, **options)
