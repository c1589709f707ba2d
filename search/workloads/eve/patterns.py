"""Kernel patterns: which positions of its kernel a filter keeps, out of a pool that a layer shares.

A pattern is an order of the k * k kernel positions, best first. A mode that keeps c positions takes
the first c of its filter's pattern, so that sparser modes lie inside denser ones by construction.
The pool is chosen such that the energy kept, summed over modes and filters, is as high as this kind
of search makes it: of the filters that share a pattern, the best order is that of their summed
energies, so orders and assignments are improved in turns, as k-means does.

Source: patterns shared along the channels are what EVE's device gains from (arXiv 2207.09258); the
choice of the pool is ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from search.api.errors import ConfigError

_ROUNDS = 100  # far above what is needed: every round keeps more energy or is the last


@dataclass(frozen=True)
class Pool:
    """Patterns of a layer, and which one each filter has.

    Args:
        orders: int64 ``[P, K]``: kernel positions, row by row, best first.
        index: int64 ``[filters]``: pattern of each filter.
    """

    orders: Tensor
    index: Tensor

    def ranks(self) -> Tensor:
        """int64 ``[filters, K]``: rank of each position in its filter's pattern, from 0."""
        return torch.argsort(self.orders, dim=1)[self.index]


def position_energy(score: Tensor) -> Tensor:
    """Energy of each kernel position of each filter, summed over input channels.

    Args:
        score: what each weight is worth, at least 0, ``[filters, channels, ...kernel]``.

    Returns:
        float64 ``[filters, K]``.
    """
    return score.detach().double().flatten(2).sum(1)


def choose_pool(energy: Tensor, kept: Sequence[int], size: int) -> Pool:
    """A pool of at most ``size`` patterns; the same for the same arguments.

    Args:
        energy: of :func:`position_energy`, ``[filters, K]``.
        kept: positions that each mode keeps.
        size: patterns at most; unused ones are left out.

    Raises:
        ConfigError: no pattern is allowed, or a mode keeps none or more positions than there are.
    """
    positions = energy.shape[1]
    if size < 1 or not kept or not all(1 <= count <= positions for count in kept):
        raise ConfigError(
            f"a pool of {size} patterns for modes that keep {list(kept)} of {positions} positions "
            f"(expected at least 1 pattern and 1 to {positions} positions)"
        )
    energy = energy.detach().double().cpu()
    worth = _worth(kept, positions)
    orders = _spread(energy, worth, size)
    best = -1.0
    for _ in range(_ROUNDS):
        gains = _gains(energy, orders, worth)
        index = gains.argmax(1)
        total = float(gains.max(1).values.sum())
        if total <= best * (1 + 1e-12):
            break
        best = total
        orders = torch.stack([
            _order(energy[index == p].sum(0)) if bool((index == p).any()) else orders[p]
            for p in range(len(orders))
        ])  # fmt: skip
    used, index = torch.unique(_gains(energy, orders, worth).argmax(1), return_inverse=True)
    return Pool(orders[used], index)


def kept_energy(energy: Tensor, pool: Pool, kept: Sequence[int]) -> list[float]:
    """Share of the layer's energy that each mode keeps, 0 to 1."""
    ranks, energy = pool.ranks(), energy.detach().double().cpu()
    total = float(energy.sum()) or 1.0
    return [float(energy[ranks < count].sum()) / total for count in kept]


def _worth(kept: Sequence[int], positions: int) -> Tensor:
    """How many modes keep the position of each rank."""
    ranks = torch.arange(positions)
    return torch.stack([ranks < count for count in kept]).double().sum(0)


def _order(energy: Tensor) -> Tensor:
    return torch.argsort(energy, descending=True, stable=True)


def _gains(energy: Tensor, orders: Tensor, worth: Tensor) -> Tensor:
    """``[filters, P]``: energy that a filter keeps with a pattern, summed over modes."""
    by_position = torch.zeros(orders.shape, dtype=torch.float64)
    by_position.scatter_(1, orders, worth.expand(orders.shape))
    return energy @ by_position.T


def _spread(energy: Tensor, worth: Tensor, size: int) -> Tensor:
    """First patterns: the order of all filters together, then those of the worst served filters."""
    optimum = energy.sort(1, descending=True).values @ worth
    orders = _order(energy.sum(0))[None]
    while len(orders) < size:
        regret = optimum - _gains(energy, orders, worth).max(1).values
        worst = int(regret.argmax())
        if float(regret[worst]) <= 1e-12 * float(optimum[worst]):
            break
        orders = torch.cat([orders, _order(energy[worst])[None]])
    return orders
