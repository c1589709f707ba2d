from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from search.api.errors import EvaluationError
from search.methods.trainer import (
    Batches,
    Recipe,
    learning_rate_at,
    task_loss,
    train,
)
from search.workloads.data.splits import Split


def blobs(n: int = 240, seed: int = 0) -> Split:
    """Three classes that a linear layer can tell apart."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(n) % 3
    centres = torch.randn(3, 1, 4, 4, generator=torch.Generator().manual_seed(9)) * 2
    return Split(centres[y] + 0.3 * torch.randn(n, 1, 4, 4, generator=generator), y)


def network(seed: int = 0) -> nn.Module:
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(seed)
        return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(16, 3))


def state(module: nn.Module) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in module.parameters()])


RECIPE = Recipe(epochs=3, learning_rate=0.1, batch_size=32)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("channels_last", [True, False])
def test_it_learns(optimizer: Any, channels_last: bool) -> None:
    made, split = network(), blobs()
    rate = 0.1 if optimizer == "sgd" else 0.02
    recipe = Recipe(4, rate, 32, optimizer=optimizer, channels_last=channels_last)
    done = train(made, split, recipe, seed=0)
    assert (made(split.x).argmax(1) == split.y).float().mean() > 0.95
    assert not made.training
    assert done.steps == 4 * (240 // 32)
    assert done.gradient_evaluations == done.steps * 32
    assert done.loss < 0.5
    assert not done.stopped


def test_seed_decides_everything() -> None:
    first, again, other = network(), network(), network()
    train(first, blobs(), RECIPE, seed=1)
    train(again, blobs(), RECIPE, seed=1)
    train(other, blobs(), RECIPE, seed=2)
    assert torch.equal(state(first), state(again))
    assert not torch.equal(state(first), state(other))


def test_a_fraction_of_an_epoch() -> None:
    assert train(network(), blobs(), Recipe(0.5, 0.1, 24), seed=0).steps == 5
    assert train(network(), blobs(), Recipe(0, 0.1, 24), seed=0).steps == 0


def test_a_batch_larger_than_the_split_is_cut() -> None:
    assert train(network(), blobs(20), Recipe(2, 0.1, 64), seed=0).gradient_evaluations == 40


def test_progress_once_an_epoch(recorder: Callable[..., Any]) -> None:
    ctx = recorder()
    train(network(), blobs(), Recipe(2.5, 0.1, 24), seed=0, ctx=ctx, phase="finetune")
    assert [step for step, _ in ctx.reports] == [1, 2, 3]
    losses = [values["finetune_loss"] for _, values in ctx.reports]
    assert losses[2] < losses[0]


def test_stop_is_seen_between_batches(recorder: Callable[..., Any]) -> None:
    done = train(network(), blobs(), RECIPE, seed=0, ctx=recorder(stop_after=4))
    assert done.steps == 4
    assert done.stopped


def test_a_loss_that_diverges_is_an_evaluation_error() -> None:
    split = blobs()
    bad = Split(split.x * float("inf"), split.y)
    with pytest.raises(EvaluationError, match=r"finetune: the loss is nan .* lower learning rate"):
        train(network(), bad, RECIPE, seed=0, phase="finetune")


def test_weights_spoilt_by_the_last_step_are_seen() -> None:
    made = network()
    made[3].bias.register_hook(lambda grad: grad * float("nan"))  # type: ignore[index,union-attr]
    with pytest.raises(EvaluationError, match=r"train: weights .* are NaN or infinite"):
        train(made, blobs(32), Recipe(1, 0.1, 32), seed=0)


def test_no_images() -> None:
    with pytest.raises(EvaluationError, match="empty split"):
        train(network(), blobs(0), RECIPE, seed=0)


def test_the_norm_of_the_gradient_is_clipped() -> None:
    made, before = network(), state(network())
    recipe = Recipe(1, 1.0, 32, clip=1e-3, momentum=0.0, weight_decay=0.0, schedule="constant")
    train(made, blobs(32), recipe, seed=0)
    assert float((state(made) - before).norm()) == pytest.approx(1e-3, rel=1e-3)


def test_distillation_is_cross_entropy_plus_scaled_divergence() -> None:
    generator = torch.Generator().manual_seed(0)
    ours, theirs = torch.randn(2, 5, 3, generator=generator)
    labels = torch.tensor([0, 1, 2, 0, 1])
    p, q = (theirs / 4).softmax(1), (ours / 4).softmax(1)
    divergence = (p * (p.log() - q.log())).sum(1).mean()
    expected = F.cross_entropy(ours, labels) + 0.5 * 16 * divergence
    recipe = Recipe(1, 0.1, distillation=0.5, temperature=4.0)
    assert float(task_loss(ours, labels, recipe, theirs)) == pytest.approx(float(expected))
    assert float(task_loss(ours, labels, recipe)) == pytest.approx(
        float(F.cross_entropy(ours, labels))
    )


def test_a_student_follows_its_teacher() -> None:
    """Labels are wrong on purpose: only the teacher knows the classes."""
    split = blobs()
    soft = 8.0 * F.one_hot(split.y, 3).float()
    wrong = Split(split.x, torch.randint(3, (240,), generator=torch.Generator().manual_seed(1)))
    made = network()
    train(made, wrong, Recipe(6, 0.05, 32, distillation=5.0), seed=0, teacher=soft)
    assert (made(split.x).argmax(1) == split.y).float().mean() > 0.9


def test_a_teacher_network_is_asked_about_augmented_images() -> None:
    seen: list[torch.Tensor] = []

    class Oracle(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            seen.append(x)
            return torch.zeros(len(x), 3)

    split = blobs(32)
    recipe = Recipe(1, 0.1, 32, distillation=1.0, augmentation="shift_flip")
    train(network(), split, recipe, seed=0, teacher=Oracle())
    assert not torch.equal(
        seen[0].sum((1, 2, 3)).sort().values, split.x.sum((1, 2, 3)).sort().values
    )


def test_schedules() -> None:
    cosine = [learning_rate_at(i, 10, Recipe(1, 1.0, schedule="cosine")) for i in range(10)]
    assert cosine[0] == 1.0
    assert cosine == sorted(cosine, reverse=True)
    assert cosine[5] == pytest.approx(0.5)
    cycle = [learning_rate_at(i, 10, Recipe(1, 1.0, schedule="one_cycle")) for i in range(10)]
    assert cycle[:3] == [0.5, 1.0, 1.0]
    assert cycle[-1] < 0.1
    assert learning_rate_at(7, 10, Recipe(1, 0.3, schedule="constant")) == 0.3


def test_batches_cover_an_epoch_without_repeats() -> None:
    batches = Batches(100, 30, seed=3)
    stream = iter(batches)
    epoch = torch.cat([next(stream) for _ in range(batches.per_epoch)])
    assert batches.per_epoch == 3
    assert len(set(epoch.tolist())) == 90
    assert not torch.equal(next(stream), epoch[:30])


def test_bf16_trains_too() -> None:
    made, split = network(), blobs()
    train(made, split, Recipe(4, 0.1, 32, bf16=True), seed=0)
    assert math.isfinite(float(state(made).sum()))
    assert (made(split.x).argmax(1) == split.y).float().mean() > 0.9


def test_hooks_change_gradients_and_weights() -> None:
    class Frozen:
        """Keeps the last layer as it is, and one weight of the first at zero."""

        def __init__(self, net: nn.Module) -> None:
            self.net, self.steps = net, []

        def gradients(self, step: int) -> None:
            self.net[3].weight.grad.zero_()

        def weights(self, step: int) -> None:
            self.steps.append(step)
            with torch.no_grad():
                self.net[0].weight[0] = 0

    net: Any = network()
    before, first = net[3].weight.detach().clone(), net[0].weight.detach().clone()
    hooks = Frozen(net)
    recipe = Recipe(1, 0.05, batch_size=24, weight_decay=0.0)
    train(net, blobs(), recipe, seed=0, hooks=hooks)
    assert hooks.steps == list(range(10))
    assert torch.equal(net[3].weight, before)
    assert bool((net[0].weight[0] == 0).all())
    assert not torch.equal(net[0].weight[1], first[1])
