"""Which of some placements trains best: one network trained for all of them at once, then compared.

Saliency is taken at the original network, one ReLU at a time. It says little of a network in which
whole layers have lost theirs. So a few epochs go to shared weights, with another placement drawn
for every batch, and the placement with the lowest loss under these weights wins. Every
step serves all of them. It ranks sets of layers better than saliency does, but has not yet been
shown to give better networks at equal training: docs/decisions/0015 has the measurements.

Source: shared weights trained on uniformly drawn paths: Guo et al., Single path one-shot neural
architecture search with uniform sampling (ECCV 2020).
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from search.methods.augment import augment
from search.methods.mask_method import MaskTask
from search.methods.mask_students import set_masks
from search.methods.trainer import (
    Batches,
    LossMeter,
    Recipe,
    autocast,
    check_finite,
    make_optimizer,
    place,
    prepare_network,
    task_loss,
)

LOOKS = (128, 512)
"""Images whose loss compares all placements, and then the best quarter of them."""

_FORWARD = 3
"""A forward pass is a third of the arithmetic of a forward and a backward pass."""


@dataclass(frozen=True)
class Tried:
    """What the shared training gave.

    Args:
        winner: position of the best placement.
        losses: of each placement, over the images it was last compared on.
        gradient_evaluations: images times backward passes; forward passes count a third.
    """

    winner: int
    losses: tuple[float, ...]
    gradient_evaluations: int


def look_cost(placements: int) -> int:
    """Gradient evaluations that comparing so many placements takes."""
    best = math.ceil(placements / 4)
    return (placements * LOOKS[0] + best * LOOKS[1]) // _FORWARD


def try_placements(
    task: MaskTask, placements: Sequence[Mapping[str, Tensor]], recipe: Recipe
) -> Tried:
    """Train ``task.network`` for all ``placements`` together and find the one it serves best.

    Losses are compared in training mode, batch by batch: running statistics belong to no placement.

    Args:
        task: network, data, seed; the network ends with the shared weights and the winner's masks.
        placements: masks of every free site; at least one.
        recipe: of training, at a constant rate.

    Raises:
        EvaluationError: training diverged.
    """
    spent = _train(task, placements, recipe)
    losses = [math.nan] * len(placements)
    left = list(range(len(placements)))
    for images, keep in zip(LOOKS, (math.ceil(len(left) / 4), 1), strict=True):
        for i in left:
            set_masks(task.network, placements[i])
            losses[i] = _loss(task, recipe, images)
            spent += min(images, len(task.split)) // _FORWARD
        left = sorted(left, key=lambda i: losses[i])[:keep]
    set_masks(task.network, placements[left[0]])
    task.network.eval()
    return Tried(left[0], tuple(losses), spent)


def _train(task: MaskTask, placements: Sequence[Mapping[str, Tensor]], recipe: Recipe) -> int:
    """Shared weights, a placement drawn for each batch; the gradient evaluations it took."""
    ctx, device, network = task.ctx, task.ctx.device, task.network
    batches = Batches(len(task.split), recipe.batch_size, seed=ctx.seed, device=device)
    prepare_network(network, recipe, device)
    x, y = place(task.split, recipe, device)
    weights = [p for p in network.parameters() if p.requires_grad]
    optimizer = make_optimizer(weights, recipe)
    noise, draw = torch.Generator().manual_seed(ctx.seed), random.Random(ctx.seed)
    meter = LossMeter("layers", batches.per_epoch, ctx)
    done = 0
    for _, index in zip(range(batches.steps(recipe.epochs)), batches, strict=False):
        if ctx.should_stop():
            break
        set_masks(network, draw.choice(placements))
        images = augment(x[index], recipe.augmentation, noise)
        with autocast(device, recipe.bf16):
            logits = network(images)
        loss = task_loss(logits, y[index], recipe, _soft(task, recipe, images, index))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(weights, recipe.clip)
        optimizer.step()
        meter.add(loss)
        done += 1
    meter.finish()
    check_finite(network, "layers")
    return done * batches.size


def _soft(task: MaskTask, recipe: Recipe, images: Tensor, index: Tensor) -> Tensor | None:
    """Soft targets of a batch: of the images themselves where augmentation changed them."""
    if task.soft_targets is None:
        return None
    if recipe.augmentation == "none":
        return task.soft_targets[index].to(task.ctx.device)
    with torch.no_grad():
        found: Tensor = task.teacher(images)
    return found


def _loss(task: MaskTask, recipe: Recipe, images: int) -> float:
    """Mean loss of the recipe over some training images, the same ones for every placement."""
    device = task.ctx.device
    noise = torch.Generator().manual_seed(task.ctx.seed)
    order = torch.randperm(len(task.split), generator=noise)[:images]
    x, y = task.split.x, task.split.y
    total = 0.0
    task.network.train()
    with torch.no_grad():
        for index in torch.tensor_split(order, max(1, len(order) // recipe.batch_size)):
            soft = None if task.soft_targets is None else task.soft_targets[index].to(device)
            loss = task_loss(task.network(x[index].to(device)), y[index].to(device), recipe, soft)
            total += float(loss) * len(index)
    return total / len(order)
