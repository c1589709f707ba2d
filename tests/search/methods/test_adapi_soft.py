from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from search.methods.adapi_loss import Lesson, Teaching
from search.methods.adapi_scores import first_scores
from search.methods.adapi_soft import (
    Soft,
    SoftActivation,
    SoftPlan,
    above,
    learn_scores,
    loss_weights,
)
from search.methods.mask_students import masked_student
from search.methods.teacher import load_teacher
from search.methods.trainer import Recipe
from search.workloads.masked import MaskedActivation
from spaces.relu import ReluPlacement


def test_a_score_above_the_threshold_counts_and_its_gradient_is_softplus() -> None:
    score = torch.tensor([-1.0, 0.0, 2.0], requires_grad=True)
    mask = above(score, torch.tensor(0.0))
    assert mask.tolist() == [0.0, 0.0, 1.0]
    (mask * torch.tensor([1.0, 2.0, 3.0])).sum().backward()
    expected = F.softplus(score.detach()) * torch.tensor([1.0, 2.0, 3.0])
    assert score.grad is not None
    assert torch.allclose(score.grad, expected)


def test_a_soft_activation_at_0_and_1_is_a_masked_one() -> None:
    masked = MaskedActivation(nn.ReLU(), nn.Identity(), (2, 3))
    masked.set_mask(torch.tensor([[True, False, True], [False, True, False]]))
    x = torch.randn(5, 2, 3)
    assert torch.equal(SoftActivation(masked)(x), masked(x))


def learned(workload: Any, ctx: Any, **changes: Any) -> tuple[Soft, Any, Any]:
    masking = ReluPlacement(workload.sites(), "pixel", activations=("relu", "identity")).masking
    teacher = load_teacher(workload, ctx)
    network = masked_student(teacher.network, masking, c=1.0)
    split = workload.data.train
    first = first_scores(
        "uniform", network, teacher.network, masking, split, images=64, seed=0, device="cpu"
    )
    options: dict[str, Any] = {
        "recipe": Recipe(epochs=2, learning_rate=1e-3, batch_size=64, weight_decay=0.0),
        "way": "ladder",
        "score_learning_rate": 0.02,
        "weight_penalty": 0.0,
        "relu_penalty": 0.0,
        "densities": [(0.2, 0.1), (0.6, 0.5)],
    }
    teaching = Teaching(
        network, teacher.network, [s.name for s in masking.free], Lesson(attention=1.0),
        teacher.logits(split, "cpu"),
    )  # fmt: skip
    plan = SoftPlan(**{**options, **changes})
    return (
        learn_scores(network, masking, teaching, split, plan, first, seed=0, ctx=ctx),
        network,
        first,
    )


def test_a_ladder_gives_every_member_batch_norms_of_its_own(
    workload: Any, recorder: Callable[..., Any]
) -> None:
    soft, network, first = learned(workload, recorder())
    sparse, dense = soft.private
    assert not torch.equal(sparse["1.running_mean"], dense["1.running_mean"])
    assert not torch.equal(sparse["1.weight"], dense["1.weight"])
    moved = [not torch.equal(soft.scores.weights[n], s) for n, s in first.weights.items()]
    assert all(moved)
    assert isinstance(network.get_submodule("2"), MaskedActivation)
    steps = 2 * (len(workload.data.train) // 64)
    assert soft.gradient_evaluations == steps * 64


def test_emphasis_weighs_losses_by_density_and_keeps_their_mean() -> None:
    assert loss_weights((0.1, 0.4), 0.0) == (1.0, 1.0)
    assert loss_weights((0.1, 0.4), 1.0) == pytest.approx((0.4, 1.6))
    assert loss_weights((0.1, 0.4), 0.5) == pytest.approx((2 / 3, 4 / 3))
    assert loss_weights((0.3,), 0.7) == (1.0,)


def test_emphasis_moves_the_shared_weights(workload: Any, recorder: Callable[..., Any]) -> None:
    def sizes(emphasis: float) -> list[float]:
        ctx = recorder(f"emphasis{emphasis}")
        _, network, _ = learned(workload, ctx, emphasis=emphasis)
        return [float(w.detach().abs().sum()) for w in network.parameters()]

    assert sizes(0.0) != sizes(2.0)


def test_penalties_press_the_densities_down(workload: Any, recorder: Callable[..., Any]) -> None:
    dense, *_ = learned(workload, recorder(), way="penalty", score_learning_rate=0.03)
    sparse, *_ = learned(
        workload, recorder(), way="penalty", score_learning_rate=0.03,
        weight_penalty=100.0, relu_penalty=100.0,
    )  # fmt: skip
    assert sparse.densities[0] < dense.densities[0] - 0.1
    assert sparse.densities[1] < dense.densities[1] - 0.1
    assert torch.equal(sparse.private[0]["1.weight"], sparse.private[1]["1.weight"])


def test_it_repeats_and_stops_when_asked(workload: Any, recorder: Callable[..., Any]) -> None:
    one, two = (learned(workload, recorder())[0] for _ in range(2))
    assert all(torch.equal(one.scores.relus[n], two.scores.relus[n]) for n in one.scores.relus)
    stopped, *_ = learned(workload, recorder("stopped", stop_after=3))
    assert stopped.gradient_evaluations == 3 * 64


@pytest.mark.parametrize("way", ["ladder", "penalty"])
def test_divergence_is_told(workload: Any, recorder: Callable[..., Any], way: str) -> None:
    from search.api.errors import EvaluationError

    with pytest.raises(EvaluationError, match="masks"):
        learned(
            workload, recorder(), way=way,
            recipe=Recipe(epochs=2, learning_rate=1e30, batch_size=64),
        )  # fmt: skip
