"""The one training loop: batches, loss, schedule, and nothing hidden.

Used for the teacher, for fine-tuning, and in pieces (batches, loss) by the bilevel search.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from search.api.errors import EvaluationError
from search.methods.augment import Augmentation, augment

if TYPE_CHECKING:
    from search.api.protocols import Context
    from search.workloads.data.splits import Split

Schedule = Literal["cosine", "one_cycle", "constant"]

# Steps between two looks at the loss. On a GPU each look waits for the device.
_CHECK_EVERY = 50


@dataclass(frozen=True)
class Recipe:
    """How a network is trained.

    Args:
        epochs: passes over the data; a fraction gives that share of an epoch's steps.
        learning_rate: peak of the schedule.
        batch_size: images per step.
        optimizer: ``sgd`` (Nesterov) or ``adam``.
        momentum: of ``sgd``.
        weight_decay: L2 penalty.
        schedule: ``cosine`` to 0, ``one_cycle`` (up for the first fifth, then down) or
            ``constant``.
        clip: bound of the gradient's norm.
        distillation: weight of the distillation loss; 0 trains on labels alone.
        temperature: ``T`` of the distillation loss.
        augmentation: random changes of the training images.
        channels_last: memory layout of images and filters. Pays on CPU and GPU alike: 20 % of the
            time of a small residual network on one core.
        bf16: bfloat16 autocast. Off: it made the small networks here slower (by 25 to 40 %), and
            pays only with hundreds of channels.
    """

    epochs: float
    learning_rate: float
    batch_size: int = 128
    optimizer: Literal["sgd", "adam"] = "sgd"
    momentum: float = 0.9
    weight_decay: float = 5e-4
    schedule: Schedule = "cosine"
    clip: float = 5.0
    distillation: float = 0.0
    temperature: float = 4.0
    augmentation: Augmentation = "none"
    channels_last: bool = True
    bf16: bool = False


@dataclass(frozen=True)
class Training:
    """What a training spent and reached.

    Args:
        steps: optimiser steps.
        gradient_evaluations: images times backward passes.
        loss: mean loss of the last epoch (or part of one).
        seconds: wall-clock time.
        stopped: whether it was asked to stop before its end.
    """

    steps: int
    gradient_evaluations: int
    loss: float
    seconds: float
    stopped: bool = False


class StepHooks(Protocol):
    """What a method does in each step of :func:`train`, besides the loss."""

    def gradients(self, step: int) -> None:
        """Change the gradients, which are clipped already; step counts from 0."""
        ...

    def weights(self, step: int) -> None:
        """Change the weights, which the optimiser has just changed."""
        ...


class Batches:
    """An endless stream of shuffled index batches; full batches only.

    Args:
        count: number of examples; must be positive.
        batch_size: indices per batch; cut to ``count``.
        seed: of the shuffling. It is done on the CPU, so every device sees the same order.
        device: where the index tensors go.
    """

    def __init__(self, count: int, batch_size: int, *, seed: int, device: str = "cpu") -> None:
        if count < 1:
            raise EvaluationError("no images to train on (got an empty split)")
        self._count, self._size = count, min(batch_size, count)
        self._generator = torch.Generator().manual_seed(seed)
        self._device = device

    @property
    def per_epoch(self) -> int:
        """Batches per pass over the data."""
        return self._count // self._size

    @property
    def size(self) -> int:
        """Indices per batch."""
        return self._size

    def steps(self, epochs: float) -> int:
        """Steps in ``epochs`` passes: at least one, unless ``epochs`` is 0."""
        return max(1, round(epochs * self.per_epoch)) if epochs > 0 else 0

    def __iter__(self) -> Iterator[Tensor]:
        while True:
            order = torch.randperm(self._count, generator=self._generator).to(self._device)
            yield from torch.split(order[: self.per_epoch * self._size], self._size)


def task_loss(
    logits: Tensor, labels: Tensor, recipe: Recipe, soft_targets: Tensor | None = None
) -> Tensor:
    """Cross-entropy on labels, plus distillation if there are soft targets.

    Args:
        logits: ``[n, classes]``.
        labels: ``[n]``.
        recipe: gives weight and temperature ``T`` of the distillation.
        soft_targets: the teacher's logits ``[n, classes]``.

    Returns:
        ``CE + weight * T^2 * KL(teacher || network)`` at temperature ``T``, mean over the batch.

    Source: Hinton, Vinyals, Dean, Distilling the Knowledge in a Neural Network (2015), section 2.
    """
    loss = F.cross_entropy(logits.float(), labels)
    if soft_targets is None or recipe.distillation == 0:
        return loss
    t = recipe.temperature
    ours = F.log_softmax(logits.float() / t, dim=1)
    theirs = F.log_softmax(soft_targets.float() / t, dim=1)
    divergence = F.kl_div(ours, theirs, log_target=True, reduction="batchmean")
    return loss + recipe.distillation * t * t * divergence


def make_optimizer(parameters: list[nn.Parameter], recipe: Recipe) -> torch.optim.Optimizer:
    """The recipe's optimiser over ``parameters``."""
    if recipe.optimizer == "adam":
        return torch.optim.Adam(
            parameters, lr=recipe.learning_rate, weight_decay=recipe.weight_decay
        )
    return torch.optim.SGD(
        parameters,
        lr=recipe.learning_rate,
        momentum=recipe.momentum,
        nesterov=recipe.momentum > 0,
        weight_decay=recipe.weight_decay,
    )


def learning_rate_at(step: int, steps: int, recipe: Recipe) -> float:
    """The rate of step ``step`` (from 0) of ``steps``."""
    if recipe.schedule == "constant":
        return recipe.learning_rate
    rise = round(0.2 * steps) if recipe.schedule == "one_cycle" else 0
    if step < rise:
        return recipe.learning_rate * (step + 1) / rise
    done = (step - rise) / max(1, steps - rise)
    return recipe.learning_rate * 0.5 * (1 + math.cos(math.pi * done))


def place(split: Split, recipe: Recipe, device: str) -> tuple[Tensor, Tensor]:
    """Images and labels of ``split`` on ``device``, in the recipe's memory layout."""
    x, y = split.x.to(device), split.y.to(device)
    if recipe.channels_last and x.dim() == 4:
        x = x.contiguous(memory_format=torch.channels_last)
    return x, y


def prepare_network(network: nn.Module, recipe: Recipe, device: str) -> nn.Module:
    """``network`` itself on ``device``, in the recipe's memory layout, in training mode."""
    network.to(device)
    if recipe.channels_last:
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network.train()


def train(
    network: nn.Module,
    split: Split,
    recipe: Recipe,
    *,
    seed: int,
    device: str = "cpu",
    ctx: Context | None = None,
    teacher: Tensor | nn.Module | None = None,
    phase: str = "train",
    hooks: StepHooks | None = None,
) -> Training:
    """Train ``network`` in place; it ends in evaluation mode on ``device``.

    Args:
        network: gives logits ``[n, classes]`` of images ``[n, C, H, W]``.
        split: the images.
        recipe: how.
        seed: of batch order and augmentation.
        device: where.
        ctx: told the loss once per epoch, and asked before every batch whether to stop.
        teacher: soft targets ``[len(split), classes]``, or, for augmented images, the network
            that gives them.
        phase: word for messages and progress.
        hooks: called in each step.

    Raises:
        EvaluationError: the loss or a weight is NaN or infinite, or the split is empty.
    """
    started = time.perf_counter()
    batches = Batches(len(split), recipe.batch_size, seed=seed, device=device)
    steps = batches.steps(recipe.epochs)
    x, y = place(split, recipe, device)
    prepare_network(network, recipe, device)
    soft_targets = teacher.to(device) if isinstance(teacher, Tensor) else None
    parameters = [p for p in network.parameters() if p.requires_grad]
    optimizer = make_optimizer(parameters, recipe)
    noise = torch.Generator().manual_seed(seed)
    meter = LossMeter(phase, batches.per_epoch, ctx)
    done = 0
    for step, index in zip(range(steps), batches, strict=False):
        if ctx is not None and ctx.should_stop():
            break
        images = augment(x[index], recipe.augmentation, noise)
        soft = None if soft_targets is None else soft_targets[index]
        if isinstance(teacher, nn.Module):
            with torch.no_grad():
                soft = teacher(images)
        set_learning_rate(optimizer, learning_rate_at(step, steps, recipe))
        with autocast(device, recipe.bf16):
            logits = network(images)
        loss = task_loss(logits, y[index], recipe, soft)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(parameters, recipe.clip)
        if hooks is not None:
            hooks.gradients(step)
        optimizer.step()
        if hooks is not None:
            hooks.weights(step)
        done += 1
        meter.add(loss)
    meter.finish()
    check_finite(network, phase)
    network.eval()
    return Training(
        steps=done,
        gradient_evaluations=done * batches.size,
        loss=meter.last,
        seconds=time.perf_counter() - started,
        stopped=done < steps,
    )


class LossMeter:
    """Mean loss per epoch, reported to ``ctx``; refuses NaN.

    The sum stays on the device and is read only now and then.
    """

    def __init__(self, phase: str, per_epoch: int, ctx: Context | None) -> None:
        self._phase, self._per_epoch, self._ctx = phase, per_epoch, ctx
        self._sum: Tensor | float = 0.0
        self._count = 0
        self._step = 0
        self.last = float("nan")

    def add(self, loss: Tensor, **extra: float) -> None:
        """Count one step's loss; ``extra`` values go out with the next report.

        Raises:
            EvaluationError: the loss is NaN or infinite.
        """
        self._sum = self._sum + loss.detach()
        self._count += 1
        self._step += 1
        if self._step % _CHECK_EVERY == 0:
            self._mean()
        if self._step % self._per_epoch == 0:
            self._report(**extra)

    def finish(self, **extra: float) -> None:
        """Report what an unfinished epoch left."""
        if self._count:
            self._report(**extra)

    def _report(self, **extra: float) -> None:
        self.last = self._mean()
        if self._ctx is not None:
            epoch = -(-self._step // self._per_epoch)
            self._ctx.report(epoch, **{f"{self._phase}_loss": self.last}, **extra)
        self._sum, self._count = 0.0, 0

    def _mean(self) -> float:
        mean = float(self._sum) / self._count
        if not math.isfinite(mean):
            raise EvaluationError(
                f"{self._phase}: the loss is {mean} after {self._step} steps. "
                "A lower learning rate may help"
            )
        return mean


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Use ``rate`` in all parameter groups."""
    for group in optimizer.param_groups:
        group["lr"] = rate


def autocast(device: str, bf16: bool) -> torch.autocast:
    """bfloat16 autocast on ``device`` if ``bf16``, else nothing."""
    return torch.autocast(torch.device(device).type, torch.bfloat16, enabled=bf16)


def check_finite(network: nn.Module, phase: str) -> None:
    """Refuse a network with NaN or infinite weights: a last step may have spoilt them.

    Raises:
        EvaluationError: names the first such parameter.
    """
    for name, parameter in network.named_parameters():
        if not bool(torch.isfinite(parameter).all()):
            raise EvaluationError(
                f"{phase}: weights {name} are NaN or infinite. A lower learning rate may help"
            )
