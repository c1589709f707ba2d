"""Masks learned by gradient: gates in the place of masks, and the loop that trains them.

Each unit (an element, a channel or a layer) gets a real auxiliary parameter ``a``. A rule says what
gate follows from it and what penalty drives the gates to the budget; the loop is the same for every
rule.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from search.methods.augment import augment
from search.methods.mask_method import LearnedMaskOptions, MaskTask
from search.methods.mask_students import masked_at
from search.methods.trainer import (
    Batches,
    LossMeter,
    Recipe,
    check_finite,
    make_optimizer,
    place,
    prepare_network,
    task_loss,
)
from search.workloads.masked import MaskedActivation

TRAVEL = 2.25
"""Steps times rate of the auxiliary parameters when no rate is given.

Adam moves a parameter by about its rate in each step, so this is how far it can go: it must exceed
the spread of the initial values, 1. Published runs take about 78,000 steps of 0.001; a run of some
hundred steps needs a higher rate, not another penalty.
"""

# A task that does not feel its gates at all still gets to its budget.
_LEAST_GRADIENT = 1e-8


class GateOptions(LearnedMaskOptions):
    """Options of methods that learn masks by gradient."""

    indicator_learning_rate: float | None = Field(
        None,
        gt=0,
        description="of the auxiliary parameters (Adam); absent: such that steps times rate is "
        "2.25, whatever the number of steps",
    )


class _Indicator(torch.autograd.Function):
    """The mask forward, ``softplus(a)`` backward."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, mask: Tensor) -> Tensor:
        ctx.save_for_backward(a)
        return mask.to(a.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (a,) = ctx.saved_tensors
        return gradient * F.softplus(a), None


def indicator(a: Tensor, mask: Tensor) -> Tensor:
    """``mask`` as numbers, with gradient ``softplus(a)`` towards ``a``.

    Args:
        a: auxiliary parameters.
        mask: bool, of the same shape.

    Source: AutoReP (ICCV 2023), discrete indicator with softplus straight-through gradient.
    """
    found: Tensor = _Indicator.apply(a, mask)  # type: ignore[no-untyped-call]
    return found


class GatedActivation(nn.Module):
    """``g kept(x) + (1 - g) replacement(x)`` with one gate ``g`` per unit, while masks are learned.

    Args:
        masked: the masked activation it stands for.
        shape: of the gates; broadcastable to a sample.
        hard: whether gates are the mask (0 or 1, straight-through gradient) or ``a`` itself.
    """

    def __init__(self, masked: MaskedActivation, shape: tuple[int, ...], *, hard: bool) -> None:
        super().__init__()
        self.kept, self.replacement, self.hard = masked.kept, masked.replacement, hard
        self.a = nn.Parameter(torch.ones(shape, device=masked.get_buffer("mask").device))
        self.register_buffer("mask", torch.ones_like(self.a, dtype=torch.bool), persistent=False)

    def gate(self) -> Tensor:
        """The gates, with gradient towards ``a``."""
        return indicator(self.a, self.get_buffer("mask")) if self.hard else self.a

    def forward(self, x: Tensor) -> Tensor:
        """``x`` of shape ``[n, C, ...]``, same shape out."""
        return torch.lerp(self.replacement(x), self.kept(x), self.gate().to(x.dtype))


@dataclass
class Gates:
    """All gates of a network, in execution order.

    Args:
        sites: site -> its gated activation.
        elements: site -> ReLU elements of one unit.
        settled: ReLU elements that no gate rules.
        budget: ReLU elements that may stay, settled ones included.
    """

    sites: Mapping[str, GatedActivation]
    elements: Mapping[str, int]
    settled: int
    budget: int
    total: int = field(init=False)

    def __post_init__(self) -> None:
        free = sum(g.a.numel() * self.elements[n] for n, g in self.sites.items())
        self.total = self.settled + free

    @property
    def parameters(self) -> list[nn.Parameter]:
        """The auxiliary parameters of every site."""
        return [g.a for g in self.sites.values()]

    def kept(self) -> Tensor:
        """ReLU elements that the gates keep, settled ones included; with gradient."""
        found = [g.gate().sum() * self.elements[n] for n, g in self.sites.items()]
        return torch.stack(found).sum() + self.settled

    def task_strength(self) -> float:
        """Root mean square of the task's gradient towards a gate, when ``a`` holds gradients."""
        found = []
        for gated in self.sites.values():
            if gated.a.grad is not None:
                pull = F.softplus(gated.a.detach()) if gated.hard else 1.0
                found.append((gated.a.grad / pull).flatten())
        strength = float(torch.cat(found).pow(2).mean().sqrt()) if found else 0.0
        return max(strength, _LEAST_GRADIENT)

    def scores(self) -> dict[str, Tensor]:
        """Site -> auxiliary parameters, detached."""
        return {name: g.a.detach().clone() for name, g in self.sites.items()}


class GateRule(ABC):
    """What a method adds to the loop: how gates follow from ``a``, and what drives them."""

    hard: bool = True

    @abstractmethod
    def start(self, gates: Gates, steps: int, seed: int) -> None:
        """Give ``a`` its first values; there will be ``steps`` steps."""

    def before(self, gates: Gates, step: int) -> None:
        """Set the masks for step ``step`` (from 0)."""
        return

    @abstractmethod
    def penalty(self, gates: Gates, step: int) -> Tensor:
        """What is added to the loss of step ``step``."""

    def first_gradients(self, gates: Gates) -> None:
        """Called once, when ``a`` holds the gradients of step 0, before any update."""
        return

    def tenth_done(self, gates: Gates) -> None:
        """Called after each tenth of the steps."""
        return

    def found(self, gates: Gates) -> bool:
        """Whether the masks are found before all steps are done; asked before each step."""
        return False

    def counts(self, gates: Gates) -> float:
        """ReLU elements that would stay now, for progress."""
        return float(gates.kept().detach())


@dataclass(frozen=True)
class LearnedScores:
    """What the loop ends with.

    Args:
        scores: free site -> score of each unit: the higher, the rather it stays.
        gradient_evaluations: images times backward passes.
        counts: ReLU elements that would stay, after every tenth of the steps.
    """

    scores: Mapping[str, Tensor]
    gradient_evaluations: int
    counts: tuple[int, ...]


def learn_gates(
    task: MaskTask,
    rule: GateRule,
    options: GateOptions,
    *,
    learning_rate: float,
    betas: tuple[float, float] = (0.9, 0.999),
) -> LearnedScores:
    """Train weights and gates of ``task.network`` together; masks are put back in the end.

    The weights are trained with labels, distillation and the rule's penalty, the auxiliary
    parameters with the same loss and an Adam of their own. The norm of the weights' gradient is
    bounded, that of the gates' is not.

    Args:
        task: network, data, epochs, budget.
        rule: the method.
        options: of training.
        learning_rate: of the weights, constant.
        betas: of the Adam of the auxiliary parameters.

    Raises:
        EvaluationError: training diverged.
    """
    recipe = _recipe(task.epochs, learning_rate, options)
    ctx, device = task.ctx, task.ctx.device
    batches = Batches(len(task.split), recipe.batch_size, seed=ctx.seed, device=device)
    steps = batches.steps(recipe.epochs)
    network = task.network
    weights = [p for p in network.parameters() if p.requires_grad]
    gates = open_gates(task, hard=rule.hard)
    rule.start(gates, steps, ctx.seed)
    rate = options.indicator_learning_rate or TRAVEL / max(1, steps)
    for_weights = make_optimizer(weights, recipe)
    for_gates = torch.optim.Adam(gates.parameters, lr=rate, betas=betas)
    prepare_network(network, recipe, device)
    x, y = place(task.split, recipe, device)
    noise = torch.Generator().manual_seed(ctx.seed)
    meter = LossMeter("masks", batches.per_epoch, ctx)
    looks = {round(i * steps / 10) for i in range(1, 10)} - {0}
    counts: list[int] = []
    done = 0
    for step, index in zip(range(steps), batches, strict=False):
        if ctx.should_stop() or rule.found(gates):
            break
        rule.before(gates, step)
        if step in looks:
            counts.append(round(rule.counts(gates)))
            rule.tenth_done(gates)
        images = augment(x[index], recipe.augmentation, noise)
        with torch.autocast(torch.device(device).type, torch.bfloat16, enabled=recipe.bf16):
            logits = network(images)
        soft = _soft(task, recipe, images, index)
        loss = task_loss(logits, y[index], recipe, soft)
        meter.add(loss)
        for_weights.zero_grad(set_to_none=True)
        for_gates.zero_grad(set_to_none=True)
        (loss + rule.penalty(gates, step)).backward()  # type: ignore[no-untyped-call]
        if step == 0:
            rule.first_gradients(gates)
        nn.utils.clip_grad_norm_(weights, recipe.clip)
        for_weights.step()
        for_gates.step()
        done += 1
    rule.before(gates, done)
    counts.append(round(rule.counts(gates)))
    meter.finish()
    check_finite(network, "masks")
    close_gates(task, gates)
    return LearnedScores(gates.scores(), done * batches.size, tuple(counts))


def open_gates(task: MaskTask, *, hard: bool) -> Gates:
    """Put a gated activation at every free site, in place."""
    masking = task.masking
    sites = {}
    for site in masking.free:
        masked = masked_at(task.network, site.name)
        sites[site.name] = GatedActivation(masked, masking.unit_shape(site), hard=hard)
        task.network.set_submodule(site.name, sites[site.name], strict=True)
    elements = {site.name: masking.unit_elements(site) for site in masking.free}
    return Gates(sites, elements, masking.settled_relus, task.budget)


def close_gates(task: MaskTask, gates: Gates) -> None:
    """Put masked activations back, their masks keeping all; replacements stay as trained."""
    for site in task.masking.free:
        gated = gates.sites[site.name]
        masked = MaskedActivation(gated.kept, gated.replacement, site.input_shape)
        masked.to(gated.a.device).train(gated.training)
        task.network.set_submodule(site.name, masked, strict=True)


def annealed_budget(
    step: int, steps: int, total: int, budget: int, schedule: Literal["constant", "cubic"]
) -> float:
    """Elements that may stay at ``step``: the budget, or a cubic descent to it.

    The descent starts at ``total`` and ends after nine tenths of the steps, so that weights and
    gates settle at the final budget.

    Source: Zhu and Gupta, To prune, or not to prune (2017), the cubic schedule.
    """
    if schedule == "constant":
        return float(budget)
    left = max(0.0, 1.0 - (step + 1) / (0.9 * steps))
    return budget + (total - budget) * left**3


def _soft(task: MaskTask, recipe: Recipe, images: Tensor, index: Tensor) -> Tensor | None:
    """Soft targets of a batch: of the images themselves where augmentation changed them."""
    if task.soft_targets is None:
        return None
    if recipe.augmentation == "none":
        return task.soft_targets[index]
    with torch.no_grad():
        found: Tensor = task.teacher(images)
    return found


def _recipe(epochs: float, learning_rate: float, o: GateOptions) -> Recipe:
    return Recipe(
        epochs=epochs,
        learning_rate=learning_rate,
        batch_size=o.batch_size,
        optimizer=o.optimizer,
        weight_decay=o.weight_decay,
        schedule="constant",
        clip=o.clip,
        distillation=o.distillation,
        temperature=o.temperature,
        augmentation=o.augmentation,
        channels_last=o.channels_last,
        bf16=o.bf16,
    )
