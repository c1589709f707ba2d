"""Fit the polynomials of a network to what their sites see in the teacher."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn

from search.workloads.dapa import Polynomial

if TYPE_CHECKING:
    from search.workloads.data.splits import Split

Fit = Literal["samples", "normal"]

CALIBRATION_IMAGES = 2560
"""Training images that polynomials are fitted to, unless an option says more."""

_BATCH = 64

# Weight of the start (the fit under the normal law) against one sample, so that a channel which is
# constant, or sees too few values for its degree, still has one solution.
_PRIOR = 1e-3


def fit_polynomials(
    network: nn.Module,
    teacher: nn.Module,
    split: Split,
    *,
    images: int,
    device: str,
    seed: int,
    fit: Fit = "samples",
) -> int:
    """Fit every :class:`Polynomial` of ``network`` to ReLU on the teacher's activations; in place.

    Args:
        network: polynomials stand at its sites, plain or as the replacement of a mask.
        teacher: the original network; put into evaluation mode.
        split: where images come from.
        images: of the split, drawn with ``seed``.
        device: where.
        seed: of the draw.
        fit: ``normal``: least squares under the normal law of each channel's mean and deviation.
            ``samples``: least squares on the activations themselves. Where these have long tails
            (24 deviations were seen), the normal law gives a curvature that makes deep networks
            explode; the tails themselves do not.

    Returns:
        Number of polynomials fitted.

    Source: AutoReP (ICCV 2023), distribution-aware polynomial, for ``normal``; ``samples`` is ours.
    """
    wanted = {
        name.removesuffix(".replacement"): module
        for name, module in network.named_modules()
        if isinstance(module, Polynomial)
    }
    if not wanted:
        return 0
    order = torch.randperm(len(split), generator=torch.Generator().manual_seed(seed))[:images]
    batches = [split.x[index] for index in torch.split(order, _BATCH)]
    moments = _sums(teacher, {name: _moments for name in wanted}, batches, device)
    for name, polynomial in wanted.items():
        count, total, square = moments[name]
        mean = total / count
        deviation = (square / count - mean**2).clamp(min=0).sqrt()
        polynomial.fit(mean.float(), deviation.float())
    if fit == "samples":
        normal = {name: _normal_equations(polynomial) for name, polynomial in wanted.items()}
        for name, (gram, right) in _sums(teacher, normal, batches, device).items():
            _solve(wanted[name], gram, right)
    return len(wanted)


Statistic = Callable[[Tensor], list[Tensor]]
"""Activations ``[C, m]``, double -> tensors that are summed over batches."""


def _moments(x: Tensor) -> list[Tensor]:
    """Number of values, their sum and the sum of their squares, per channel."""
    count = torch.full((len(x),), float(x.shape[1]), dtype=x.dtype, device=x.device)
    return [count, x.sum(1), (x * x).sum(1)]


def _normal_equations(polynomial: Polynomial) -> Statistic:
    """Gram matrix ``[C, k, k]`` of the basis, and its products with ReLU ``[C, k]``."""

    def statistic(x: Tensor) -> list[Tensor]:
        basis = polynomial.basis_of(x)
        return [basis @ basis.transpose(1, 2), (basis @ x.clamp(min=0).unsqueeze(2)).squeeze(2)]

    return statistic


def _solve(polynomial: Polynomial, gram: Tensor, right: Tensor) -> None:
    """Least squares; where the samples say nothing the present coefficients stay."""
    with torch.no_grad():
        start = polynomial.a.T.to(gram).unsqueeze(2)
        prior = _PRIOR * torch.eye(gram.shape[1], dtype=gram.dtype, device=gram.device)
        found = torch.linalg.solve(gram + prior, right.unsqueeze(2) + prior @ start)
        polynomial.a.copy_(found.squeeze(2).T.to(polynomial.a))


def _sums(
    teacher: nn.Module, statistics: dict[str, Statistic], batches: list[Tensor], device: str
) -> dict[str, list[Tensor]]:
    """Site -> its statistic summed over all batches; one pass through the teacher."""
    totals: dict[str, list[Tensor]] = {}

    def look(name: str) -> Any:
        def hook(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            x = inputs[0].detach().double().transpose(0, 1).flatten(1)
            found = statistics[name](x)
            old = totals.get(name)
            totals[name] = (
                found if old is None else [a + b for a, b in zip(old, found, strict=True)]
            )

        return hook

    teacher.to(device).eval()
    hooks = [teacher.get_submodule(n).register_forward_pre_hook(look(n)) for n in statistics]
    try:
        with torch.no_grad():
            for images in batches:
                teacher(images.to(device))
    finally:
        for handle in hooks:
            handle.remove()
    return totals
