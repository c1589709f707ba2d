from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from search.methods.adapi_scores import first_scores, lamp, relu_gains, spread_ranks
from search.methods.mask_students import masked_student
from search.methods.teacher import load_teacher
from search.workloads.nested import shared_weights
from spaces.relu import ReluPlacement


def test_ranks_are_common_to_all_tensors_and_even() -> None:
    a, b = spread_ranks([torch.tensor([[5.0, 1.0]]), torch.tensor([3.0, 9.0])])
    assert a.tolist() == [[0.625, 0.125]]
    assert b.tolist() == [0.375, 0.875]


def test_lamp_puts_the_largest_weight_of_every_layer_first() -> None:
    found = lamp(torch.tensor([[3.0, -4.0], [0.0, 0.0]]))
    assert torch.allclose(found, torch.tensor([[9 / 25, 1.0], [0.0, 0.0]]))


def parts(workload: Any, ctx: Any, granularity: str = "pixel") -> tuple[Any, Any, Any]:
    space = ReluPlacement(workload.sites(), granularity, activations=("relu", "identity"))
    teacher = load_teacher(workload, ctx).network
    return masked_student(teacher, space.masking, c=1.0), teacher, space.masking


@pytest.mark.parametrize("granularity", ["pixel", "channel"])
def test_a_relu_is_worth_what_it_cuts_off(
    workload: Any, recorder: Callable[..., Any], granularity: str
) -> None:
    network, teacher, masking = parts(workload, recorder(), granularity)
    images = workload.data.train.x[:64]
    gains = relu_gains(network, teacher, masking, images, device="cpu")
    site = masking.free[0]
    with torch.no_grad():
        inside = teacher.get_submodule("1")(teacher.get_submodule("0")(images))
    cut = (-inside).clamp(min=0).mean(0)
    expected = cut if granularity == "pixel" else cut.mean((1, 2), keepdim=True)
    assert gains[site.name].shape == masking.unit_shape(site)
    assert torch.allclose(gains[site.name], expected, atol=1e-5)


@pytest.mark.parametrize("start", ["uniform", "magnitude", "lamp"])
def test_scores_lie_between_0_and_1_and_repeat(
    workload: Any, recorder: Callable[..., Any], start: Any
) -> None:
    network, teacher, masking = parts(workload, recorder())
    made = [
        first_scores(
            start, network, teacher, masking, workload.data.train,
            images=64, seed=seed, device="cpu",
        )
        for seed in (0, 0, 1)
    ]  # fmt: skip
    first, again, other = ({**s.weights, **s.relus} for s in made)
    assert all(float(v.min()) > 0 and float(v.max()) < 1 for v in first.values())
    assert all(torch.equal(first[n], again[n]) for n in first)
    assert not all(torch.equal(first[n], other[n]) for n in first)


def test_magnitude_orders_all_weights_of_the_network_together(
    workload: Any, recorder: Callable[..., Any]
) -> None:
    network, teacher, masking = parts(workload, recorder())
    found = first_scores(
        "magnitude", network, teacher, masking, workload.data.train,
        images=64, seed=0, device="cpu",
    )  # fmt: skip
    weights = torch.cat([w.detach().abs().flatten() for w in shared_weights(network).values()])
    scores = torch.cat([s.flatten() for s in found.weights.values()])
    assert bool((weights[scores.argsort()].diff() >= 0).all())
