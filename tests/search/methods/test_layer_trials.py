from collections.abc import Callable
from typing import Any

import pytest
import torch

from search.methods.layer_trials import LOOKS, try_placements
from search.methods.mask_method import MaskTask
from search.methods.mask_students import masked_at, masked_student
from search.methods.teacher import load_teacher
from search.methods.trainer import Recipe
from search.workloads.image import ImageClassification
from spaces.relu import ReluPlacement

RECIPE = Recipe(0.5, 2e-3, optimizer="adam", schedule="constant", weight_decay=0.0)


def task_of(workload: ImageClassification, recorder: Callable[..., Any]) -> MaskTask:
    masking = ReluPlacement(workload.sites(), "pixel", activations=("identity", "relu")).masking
    ctx = recorder()
    teacher = load_teacher(workload, ctx)
    return MaskTask(
        masked_student(teacher.network, masking, c=1.0), masking, masking.total - 1, 1.0,
        teacher.network, None, workload.data.train, {}, ctx,
    )  # fmt: skip


def share(task: MaskTask, kept: float) -> dict[str, torch.Tensor]:
    """Masks that keep about ``kept`` of each layer."""
    noise = torch.Generator().manual_seed(0)
    return {s.name: torch.rand(s.input_shape, generator=noise) < kept for s in task.masking.free}


def test_the_network_with_its_relus_beats_those_without(
    workload: ImageClassification, recorder: Callable[..., Any]
) -> None:
    task = task_of(workload, recorder)
    tried = [share(task, 0.0), share(task, 1.1), share(task, 0.0)]
    found = try_placements(task, tried, RECIPE)
    assert found.winner == 1
    assert found.losses[1] == min(found.losses)
    assert found.losses[0] == found.losses[2]  # equal placements: equal weights, equal images
    for site in task.masking.free:
        assert torch.equal(
            masked_at(task.network, site.name).get_buffer("mask"), tried[1][site.name]
        )
    assert not task.network.training


def test_its_cost_counts_forward_passes_as_thirds(
    workload: ImageClassification, recorder: Callable[..., Any]
) -> None:
    task = task_of(workload, recorder)
    found = try_placements(task, [share(task, 0.2)] * 5, RECIPE)
    images = len(task.split)
    steps = round(0.5 * (images // 128))
    looks = 5 * (min(LOOKS[0], images) // 3) + 2 * (min(LOOKS[1], images) // 3)
    assert found.gradient_evaluations == pytest.approx(steps * 128 + looks, abs=128)


def test_it_trains_the_shared_weights_and_depends_on_the_seed_alone(
    workload: ImageClassification, recorder: Callable[..., Any]
) -> None:
    first, second = task_of(workload, recorder), task_of(workload, recorder)
    before = [p.detach().clone() for p in first.network.parameters()]
    runs = [try_placements(t, [share(t, 0.1), share(t, 0.5)], RECIPE) for t in (first, second)]
    assert runs[0] == runs[1]
    after = list(first.network.parameters())
    assert any(not torch.equal(a, b) for a, b in zip(before, after, strict=True))


def test_a_stop_ends_the_training(
    workload: ImageClassification, recorder: Callable[..., Any]
) -> None:
    task = task_of(workload, recorder)
    task.ctx.stop_after = 1  # type: ignore[attr-defined]
    found = try_placements(task, [share(task, 0.0), share(task, 1.1)], RECIPE)
    assert found.gradient_evaluations < 1000
    assert len(found.losses) == 2
