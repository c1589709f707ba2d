from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pydantic import ValidationError

from evaluators.accuracy import Accuracy
from search.api.errors import ConfigError, InfeasibleCandidate
from search.api.metric import Fidelity
from search.methods.density import Density
from search.workloads.masked import masks_of
from search.workloads.plan import network_of
from spaces.mask import MaskDensity
from spaces.plan import NonlinearityPlan
from spaces.relu import ReluPlacement

POINT = {"density": (0.25, 0.5)}


def rung(epochs: float) -> Fidelity:
    return Fidelity("train", 0, {"epochs": epochs})


def space(workload: Any, **options: Any) -> MaskDensity:
    return MaskDensity(workload.sites(), activations=("relu", "identity"), **options)


@pytest.mark.parametrize("criterion", ["random", "snip", "fisher"])
@pytest.mark.parametrize("granularity", ["pixel", "channel"])
def test_every_layer_keeps_what_the_point_says(
    workload: Any, recorder: Callable[..., Any], criterion: str, granularity: str
) -> None:
    own = space(workload, granularity=granularity)
    method = Density(workload, criterion=criterion, images=64)
    made = method.produce(own, POINT, rung(0), recorder(), None)
    assert isinstance(made.payload, NonlinearityPlan)
    assert made.kind == "mask_density"
    assert made.weights is not None
    masks = masks_of(network_of(workload, made.payload, made.weights))
    assert [int(m.sum()) for m in masks.values()] == [64, 64]
    assert list(own.usage(made.payload)) == list(own.usage(own.build(POINT)))


def test_the_candidate_is_trained(workload: Any, recorder: Callable[..., Any]) -> None:
    ctx = recorder()
    method, accuracy = Density(workload), Accuracy(workload)
    method.prepare(ctx)
    raw = method.produce(space(workload), POINT, rung(0), recorder("raw"), None)
    trained = method.produce(space(workload), POINT, rung(2), ctx, None)
    before, after = (
        accuracy.evaluate(c, rung(0), ctx)[0].value for c in (raw, trained)
    )  # fmt: skip
    assert after > before
    assert ctx.notes["gradient_evaluations"] == 2 * (len(workload.data.train) // 128 * 128)


def test_looking_at_images_counts_as_training(workload: Any, recorder: Callable[..., Any]) -> None:
    ctx = recorder()
    Density(workload, criterion="fisher", images=256).produce(
        space(workload), POINT, rung(2), ctx, None
    )
    assert ctx.notes["gradient_evaluations"] == 2 * (len(workload.data.train) // 128 * 128)


@pytest.mark.parametrize("density", [(0.0, 0.0), (1.0, 1.0), (1.0, 0.0)])
def test_whole_layers_have_no_mask(
    workload: Any, recorder: Callable[..., Any], density: tuple[float, float]
) -> None:
    made = Density(workload).produce(
        space(workload), {"density": density}, rung(0), recorder(), None
    )
    assert made.payload.masks() == {}
    operators = [made.payload.as_mapping()[s.name] for s in workload.sites()
                 if s.kind == "activation"]  # fmt: skip
    assert operators == ["relu" if d else "identity" for d in density]


def test_the_outer_searcher_sees_the_space(workload: Any) -> None:
    assert not Density(workload).decides_space
    assert Density(workload).params() == ()


def test_a_point_above_the_budget_is_infeasible(
    workload: Any, recorder: Callable[..., Any]
) -> None:
    with pytest.raises(InfeasibleCandidate, match="relu_budget: got 128 ReLU elements; at most 38"):
        Density(workload).produce(space(workload, relu_budget=10), POINT, rung(1), recorder(), None)


def test_another_space_is_refused(workload: Any, recorder: Callable[..., Any]) -> None:
    other = ReluPlacement(workload.sites(), "pixel", activations=("relu", "identity"))
    with pytest.raises(ConfigError, match="space: density needs counts per layer.*mask_density"):
        Density(workload).produce(other, {}, rung(1), recorder(), None)


def test_a_budget_of_its_own_is_refused(workload: Any) -> None:
    with pytest.raises(ValidationError, match="relu_budget"):
        Density(workload, relu_budget=5)
