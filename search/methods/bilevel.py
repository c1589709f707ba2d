"""The gradient of architecture parameters through one step of training (DARTS).

Weights ``w`` minimise the training loss, architecture parameters ``alpha`` the validation loss at
those weights. The optimal weights are approximated by one gradient step, ``w' = w - xi * g_w``.

Source: Liu, Simonyan, Yang, DARTS (ICLR 2019), section 2.3, equations 7 and 8, and its
epsilon = 0.01 / ||gradient||; used by PASNet (DAC 2023) for operator choice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

Loss = Callable[[], Tensor]

_EPSILON = 0.01

# Backward passes per architecture step, by order.
BACKWARD_PASSES = {1: 1, 2: 4}


def architecture_gradient(
    train_loss: Loss,
    validation_loss: Loss,
    weights: Sequence[Tensor],
    alphas: Sequence[Tensor],
    *,
    step: float,
    order: int = 2,
) -> list[Tensor]:
    """Gradient of the validation loss with respect to ``alphas``.

    First order takes the weights as they are. Second order takes the weights after one step on
    the training loss and lets the gradient flow through that step::

        d_alpha L_val(w', alpha) - xi * d^2_{alpha, w} L_train(w, alpha) * d_w' L_val(w', alpha)

    with the matrix-vector product by central differences: two more gradients instead of second
    derivatives.

    Args:
        train_loss: computes the loss of one batch the weights are trained on, with the graph.
        validation_loss: the same for one batch of held-out examples.
        weights: leaf tensors; their values are the same afterwards.
        alphas: leaf tensors.
        step: ``xi``, learning rate of the inner step.
        order: 1 or 2.
    """
    if order == 1:
        return _gradients(validation_loss(), alphas)
    kept = [w.detach().clone() for w in weights]
    inner = _gradients(train_loss(), weights)
    _shift(weights, inner, -step)
    found = _gradients(validation_loss(), [*alphas, *weights])
    direct, direction = found[: len(alphas)], found[len(alphas) :]
    norm = float(torch.sqrt(sum((d.double().pow(2).sum() for d in direction), torch.zeros(()))))
    if norm > 0:
        epsilon = _EPSILON / norm
        _restore(weights, kept)
        _shift(weights, direction, epsilon)
        above = _gradients(train_loss(), alphas)
        _restore(weights, kept)
        _shift(weights, direction, -epsilon)
        below = _gradients(train_loss(), alphas)
        direct = [
            d - step * (a - b) / (2 * epsilon) for d, a, b in zip(direct, above, below, strict=True)
        ]
    _restore(weights, kept)
    return direct


def _gradients(loss: Tensor, of: Sequence[Tensor]) -> list[Tensor]:
    found = torch.autograd.grad(loss, list(of), allow_unused=True)
    return [torch.zeros_like(t) if g is None else g for t, g in zip(of, found, strict=True)]


@torch.no_grad()
def _shift(tensors: Sequence[Tensor], by: Sequence[Tensor], factor: float) -> None:
    for tensor, direction in zip(tensors, by, strict=True):
        tensor.add_(direction, alpha=factor)


@torch.no_grad()
def _restore(tensors: Sequence[Tensor], kept: Sequence[Tensor]) -> None:
    # Copied back rather than subtracted: rounding would let the weights drift.
    for tensor, value in zip(tensors, kept, strict=True):
        tensor.copy_(value)
