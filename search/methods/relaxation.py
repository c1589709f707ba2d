"""The bilevel loop: weights on one half of the training data, gates on the other.

Source: PASNet (DAC 2023), differentiable operator search with a latency term; DARTS (ICLR 2019),
algorithm 1.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from search.methods.bilevel import BACKWARD_PASSES, architecture_gradient
from search.methods.gates import Gates
from search.methods.trainer import (
    Batches,
    LossMeter,
    Recipe,
    autocast,
    check_finite,
    learning_rate_at,
    make_optimizer,
    place,
    prepare_network,
    set_learning_rate,
    task_loss,
)

if TYPE_CHECKING:
    from search.api.protocols import Context
    from search.workloads.data.splits import Split

Penalty = Callable[[Gates], Tensor]

# Adam's moments for architecture parameters. Source: DARTS (ICLR 2019), appendix A.
_ALPHA_BETAS = (0.5, 0.999)


@dataclass(frozen=True)
class Relaxation:
    """How the relaxed network is searched.

    Args:
        recipe: training of the weights; its epochs are passes over their half of the data.
        alpha_learning_rate: of Adam on the gates. An alpha moves by about this much a step, so a
            short search needs a large one.
        order: 1 or 2, see :func:`search.methods.bilevel.architecture_gradient`.
        warmup: share of the steps in which the gates rest, so that polynomials can leave the
            identity they start from before they are judged.
        alpha_every: weight steps per step of the gates.
    """

    recipe: Recipe
    alpha_learning_rate: float
    order: int = 2
    warmup: float = 0.0
    alpha_every: int = 1


@dataclass(frozen=True)
class Relaxed:
    """What the search spent and where it ended.

    Args:
        steps: weight steps.
        gradient_evaluations: images times backward passes, those for the gates included.
        loss: mean training loss of the last epoch.
        seconds: wall-clock time.
        stopped: whether it was asked to stop before its end.
    """

    steps: int
    gradient_evaluations: int
    loss: float
    seconds: float
    stopped: bool


def halves(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Two disjoint random halves of ``range(count)``, as sorted index tensors.

    The first has the odd one out.
    """
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    middle = (count + 1) // 2
    return order[:middle].sort().values, order[middle:].sort().values


def relax(
    network: nn.Module,
    gates: Gates,
    split: Split,
    plan: Relaxation,
    penalty: Penalty,
    *,
    seed: int,
    device: str = "cpu",
    ctx: Context | None = None,
    soft_targets: Tensor | None = None,
) -> Relaxed:
    """Train weights and gates in turn, in place.

    Args:
        network: with its gates in place.
        gates: the gates of ``network``.
        split: the training split; half of it trains weights, half trains gates.
        plan: how.
        penalty: added to the gates' loss, such as a weighted expected latency.
        seed: of the halves and of batch orders.
        device: where.
        ctx: told losses once per epoch, and asked before every step whether to stop.
        soft_targets: the teacher's logits ``[len(split), classes]`` for distillation.

    Raises:
        EvaluationError: the loss or a weight is NaN or infinite.
    """
    started = time.perf_counter()
    recipe = plan.recipe
    x, y = place(split, recipe, device)
    soft = None if soft_targets is None else soft_targets.to(device)
    ours, theirs = (half.to(device) for half in halves(len(split), seed))
    weight_batches = Batches(len(ours), recipe.batch_size, seed=seed, device=device)
    alpha_batches = iter(Batches(len(theirs), recipe.batch_size, seed=seed + 1, device=device))
    steps = weight_batches.steps(recipe.epochs)
    prepare_network(network, recipe, device)
    weights, alphas = gates.weights(), gates.alphas()
    optimizer = make_optimizer(weights, recipe)
    alpha_optimizer = torch.optim.Adam(alphas, lr=plan.alpha_learning_rate, betas=_ALPHA_BETAS)

    def loss_on(index: Tensor) -> Tensor:
        with autocast(device, recipe.bf16):
            logits = network(x[index])
        return task_loss(logits, y[index], recipe, None if soft is None else soft[index])

    meter = LossMeter("search", weight_batches.per_epoch, ctx)
    resting = round(plan.warmup * steps)
    done = spent = 0
    for step, batch in zip(range(steps), weight_batches, strict=False):
        if ctx is not None and ctx.should_stop():
            break
        index = ours[batch]
        rate = learning_rate_at(step, steps, recipe)
        if step >= resting and (step - resting) % plan.alpha_every == 0:
            held_out = theirs[next(alpha_batches)]
            gradient = architecture_gradient(
                lambda index=index: loss_on(index),  # type: ignore[misc]
                lambda held_out=held_out: loss_on(held_out) + penalty(gates),  # type: ignore[misc]
                weights,
                alphas,
                step=rate,
                order=plan.order,
            )
            for alpha, found in zip(alphas, gradient, strict=True):
                alpha.grad = found
            alpha_optimizer.step()
            spent += BACKWARD_PASSES[plan.order]
        set_learning_rate(optimizer, rate)
        loss = loss_on(index)
        for weight, found in zip(weights, torch.autograd.grad(loss, weights), strict=True):
            weight.grad = found
        nn.utils.clip_grad_norm_(weights, recipe.clip)
        optimizer.step()
        spent += 1
        done += 1
        meter.add(loss)
    meter.finish()
    check_finite(network, "search")
    network.eval()
    return Relaxed(
        done,
        spent * weight_batches.size,
        meter.last,
        time.perf_counter() - started,
        stopped=done < steps,
    )
