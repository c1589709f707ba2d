from __future__ import annotations

import pytest
import torch

from search.methods.bilevel import BACKWARD_PASSES, architecture_gradient

STEP = 0.1


def _problem() -> tuple[list[torch.Tensor], list[torch.Tensor], object, object]:
    """L_train = |w - A alpha|^2 + |w|^2 / 2, L_val = |w - b|^2 + <alpha, alpha>, all in float64."""
    generator = torch.Generator().manual_seed(0)
    matrix = torch.randn(3, 2, generator=generator, dtype=torch.float64)
    target = torch.randn(3, generator=generator, dtype=torch.float64)
    w = torch.randn(3, generator=generator, dtype=torch.float64).requires_grad_()
    alpha = torch.randn(2, generator=generator, dtype=torch.float64).requires_grad_()

    def train(weights: torch.Tensor = w) -> torch.Tensor:
        return (weights - matrix @ alpha).pow(2).sum() + weights.pow(2).sum() / 2

    def validation(weights: torch.Tensor = w) -> torch.Tensor:
        return (weights - target).pow(2).sum() + alpha.pow(2).sum()

    return [w], [alpha], train, validation


def _exact() -> torch.Tensor:
    """Autograd through the inner step."""
    (w,), (alpha,), train, validation = _problem()
    (inner,) = torch.autograd.grad(train(), w, create_graph=True)  # type: ignore[operator]
    (found,) = torch.autograd.grad(validation(w - STEP * inner), alpha)  # type: ignore[operator]
    return found


def test_second_order_equals_autograd_through_the_step() -> None:
    weights, alphas, train, validation = _problem()
    (found,) = architecture_gradient(train, validation, weights, alphas, step=STEP)  # type: ignore[arg-type]
    assert torch.allclose(found, _exact(), rtol=1e-6)


def test_first_order_ignores_the_step() -> None:
    weights, alphas, train, validation = _problem()
    (found,) = architecture_gradient(train, validation, weights, alphas, step=STEP, order=1)  # type: ignore[arg-type]
    assert torch.allclose(found, 2 * alphas[0].detach())
    assert not torch.allclose(found, _exact(), rtol=0.01)


@pytest.mark.parametrize("order", [1, 2])
def test_weights_are_bit_for_bit_as_before(order: int) -> None:
    weights, alphas, train, validation = _problem()
    before = weights[0].detach().clone()
    architecture_gradient(train, validation, weights, alphas, step=STEP, order=order)  # type: ignore[arg-type]
    assert torch.equal(weights[0], before)
    assert weights[0].grad is None


@pytest.mark.parametrize("order", [1, 2])
def test_backward_passes_are_counted_right(order: int) -> None:
    weights, alphas, train, validation = _problem()
    calls = 0

    def counted(loss: object) -> object:
        def run() -> torch.Tensor:
            nonlocal calls
            calls += 1
            return loss()  # type: ignore[operator,no-any-return]

        return run

    architecture_gradient(
        counted(train),  # type: ignore[arg-type]
        counted(validation),  # type: ignore[arg-type]
        weights,
        alphas,
        step=STEP,
        order=order,
    )
    assert calls == BACKWARD_PASSES[order]


def test_a_weight_the_loss_does_not_use_has_gradient_zero() -> None:
    weights, alphas, train, validation = _problem()
    unused = torch.ones(2, dtype=torch.float64, requires_grad=True)
    (found,) = architecture_gradient(train, validation, [*weights, unused], alphas, step=STEP)  # type: ignore[arg-type]
    assert torch.allclose(found, _exact(), rtol=1e-6)
