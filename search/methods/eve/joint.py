"""Joint training of all modes in one set of weights, quantised as the device will have them.

Every step runs several modes on the same images. Weights are put on the grid of their layer once
per step, and every mode multiplies its own mask onto them; the gradients of all modes add up in the
shared weights, straight through the rounding. Biases are each mode's own.

Source: Yu and Huang, Universally Slimmable Networks (ICCV 2019), for ``sandwich`` (sparsest,
densest and one other mode in each step) and for sparser modes that learn from the densest one.
That the loss is the mean of all modes' losses, and the shared integers, are ours.
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn
from torch.func import functional_call

from search.api.errors import EvaluationError
from search.methods.augment import augment
from search.methods.trainer import (
    Batches,
    LossMeter,
    Recipe,
    autocast,
    learning_rate_at,
    make_optimizer,
    place,
    prepare_network,
    set_learning_rate,
    task_loss,
)
from search.workloads.eve.grid import exponent_of, on_grid
from search.workloads.nested import NestedWeights, State

if TYPE_CHECKING:
    from search.api.protocols import Context
    from search.workloads.data.splits import Split

Sampling = Literal["all", "sandwich"]
Soft = Literal["teacher", "densest"]


@dataclass(frozen=True)
class Lesson:
    """How modes share a step.

    Args:
        sampling: ``all`` modes in every step, or ``sandwich``: the sparsest, the densest and one
            drawn from the others.
        soft: whose logits the sparser modes learn from; the densest always learns from the
            teacher. Without effect where the recipe has no distillation.
        bits: of weights.
    """

    sampling: Sampling = "all"
    soft: Soft = "teacher"
    bits: int = 8


def quantised(nested: NestedWeights, bits: int) -> NestedWeights:
    """``nested`` with all weights on the grids of their layers; entries of level 0 become 0."""
    shared = {}
    for name, value in nested.shared.items():
        kept = torch.where(nested.levels[name] > 0, value, torch.zeros_like(value))
        shared[name] = on_grid(kept, exponent_of(kept, bits), bits)
    return replace(nested, shared=shared)


def train_jointly(
    network: nn.Module,
    nested: NestedWeights,
    split: Split,
    recipe: Recipe,
    lesson: Lesson,
    *,
    seed: int,
    device: str = "cpu",
    ctx: Context | None = None,
    teacher: Tensor | nn.Module | None = None,
) -> tuple[NestedWeights, int, float]:
    """Train all modes of ``nested`` together.

    Args:
        network: a place to work; its own weights do not count and stay.
        nested: where training starts.
        split: the training split.
        recipe: its epochs are passes over the split, with several modes in each step.
        lesson: how modes share a step.
        seed: of batch order, augmentation and drawn modes.
        device: where.
        ctx: told the mean loss once per epoch, and asked before every step whether to stop.
        teacher: soft targets ``[len(split), classes]``, or, for augmented images, the network
            that gives them.

    Returns:
        The trained modes, weights on their grids; images times backward passes; seconds.

    Raises:
        EvaluationError: the loss or a weight is NaN or infinite.
    """
    started = time.perf_counter()
    modes = _Modes(prepare_network(network, recipe, device), nested, lesson, device)
    batches = Batches(len(split), recipe.batch_size, seed=seed, device=device)
    steps = batches.steps(recipe.epochs)
    x, y = place(split, recipe, device)
    soft_targets = teacher.to(device) if isinstance(teacher, Tensor) else None
    parameters = modes.parameters()
    optimizer = make_optimizer(parameters, recipe)
    noise, draw = torch.Generator().manual_seed(seed), random.Random(seed)
    meter = LossMeter("eve", batches.per_epoch, ctx)
    spent = 0
    for step, index in zip(range(steps), batches, strict=False):
        if ctx is not None and ctx.should_stop():
            break
        set_learning_rate(optimizer, learning_rate_at(step, steps, recipe))
        images = augment(x[index], recipe.augmentation, noise)
        soft = None if soft_targets is None else soft_targets[index]
        if isinstance(teacher, nn.Module):
            with torch.no_grad():
                soft = teacher(images)
        optimizer.zero_grad(set_to_none=True)
        chosen = modes.chosen(draw)
        weights = modes.weights()
        total = torch.zeros((), device=device)
        for level in chosen:  # densest first
            with autocast(device, recipe.bf16):
                logits = modes.logits(level, weights, images)
            loss = task_loss(logits, y[index], recipe, soft) / len(chosen)
            loss.backward()  # type: ignore[no-untyped-call]
            total += loss.detach()
            if lesson.soft == "densest" and level == chosen[0] and soft is not None:
                soft = logits.detach().float()
        modes.hand_over(weights)
        nn.utils.clip_grad_norm_(parameters, recipe.clip)
        optimizer.step()
        spent += len(chosen) * batches.size
        meter.add(total)
    meter.finish()
    return modes.result(), spent, time.perf_counter() - started


class _Modes:
    """Trainable copies of the shared weights and of every mode's own state."""

    def __init__(
        self, network: nn.Module, nested: NestedWeights, lesson: Lesson, device: str
    ) -> None:
        self._network, self._nested, self._lesson = network, nested, lesson
        trained = {n for n, p in network.named_parameters() if p.requires_grad}
        self._masters = {n: nn.Parameter(v.to(device, copy=True)) for n, v in nested.shared.items()}
        self._levels = {n: v.to(device) for n, v in nested.levels.items()}
        self._masks = [
            {n: ((v > 0) & (v <= level)).float() for n, v in self._levels.items()}
            for level in range(1, len(nested.densities) + 1)
        ]
        self._private = [
            {
                n: nn.Parameter(v.to(device, copy=True))
                if n in trained
                else v.to(device, copy=True)
                for n, v in state.items()
            }
            for state in nested.private
        ]

    def parameters(self) -> list[nn.Parameter]:
        own = [v for s in self._private for v in s.values() if isinstance(v, nn.Parameter)]
        return [*self._masters.values(), *own]

    def chosen(self, draw: random.Random) -> list[int]:
        """Levels of this step, densest first."""
        levels = list(range(len(self._nested.densities), 0, -1))
        if self._lesson.sampling == "all" or len(levels) <= 3:
            return levels
        return [levels[0], draw.choice(levels[1:-1]), levels[-1]]

    def weights(self) -> State:
        """The shared weights on their grids, to collect the gradients of all modes."""
        bits = self._lesson.bits
        found = {}
        for name, master in self._masters.items():
            kept = master.detach() * self._masks[-1][name]
            found[name] = on_grid(kept, exponent_of(kept, bits), bits).requires_grad_()
        return found

    def logits(self, level: int, weights: State, images: Tensor) -> Tensor:
        masks = self._masks[level - 1]
        state = {n: w * masks[n] for n, w in weights.items()} | self._private[level - 1]
        logits: Tensor = functional_call(self._network, state, (images,))
        return logits

    def hand_over(self, weights: State) -> None:
        """Gradients of the rounded weights become those of the weights: straight through."""
        for name, master in self._masters.items():
            master.grad = weights[name].grad

    def result(self) -> NestedWeights:
        private = tuple(
            {n: v.detach().cpu().contiguous() for n, v in s.items()} for s in self._private
        )
        shared = {n: v.detach().cpu().contiguous() for n, v in self._masters.items()}
        for part in (shared, *private):
            for name, value in part.items():
                if not bool(torch.isfinite(value).all()):
                    raise EvaluationError(
                        f"eve: {name} is NaN or infinite. A lower learning rate may help"
                    )
        nested = replace(self._nested, shared=shared, private=private)
        return quantised(nested, self._lesson.bits)
