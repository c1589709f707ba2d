from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from search.api.errors import ConfigError
from search.workloads.eve.patterns import Pool, choose_pool, kept_energy, position_energy


def energies(filters: int, positions: int, seed: int = 0) -> Tensor:
    return torch.rand(filters, positions, generator=torch.Generator().manual_seed(seed)).double()


def total(energy: Tensor, pool: Pool, kept: tuple[int, ...]) -> float:
    return sum(kept_energy(energy, pool, kept))


def test_energy_is_summed_over_channels() -> None:
    score = torch.arange(2 * 3 * 4.0).view(2, 3, 2, 2)
    expected = [[0 + 4 + 8, 1 + 5 + 9, 2 + 6 + 10, 3 + 7 + 11],
                [12 + 16 + 20, 13 + 17 + 21, 14 + 18 + 22, 15 + 19 + 23]]  # fmt: skip
    assert position_energy(score).tolist() == expected


def test_each_filter_gets_its_own_best_order_where_the_pool_is_large() -> None:
    energy = energies(6, 9)
    pool = choose_pool(energy, (2, 5), 6)
    for count in (2, 5):
        best = energy.sort(1, descending=True).values[:, :count].sum() / energy.sum()
        assert kept_energy(energy, pool, (count,))[0] == pytest.approx(float(best))


def test_one_pattern_is_that_of_the_summed_energy() -> None:
    energy = energies(20, 9)
    pool = choose_pool(energy, (4,), 1)
    assert pool.orders.tolist() == [energy.sum(0).argsort(descending=True).tolist()]
    assert pool.index.tolist() == [0] * 20


def test_two_patterns_are_the_best_pair_of_all() -> None:
    """Two kinds of filters and noise: every pair of sets is tried."""
    generator = torch.Generator().manual_seed(3)
    energy = 0.2 * torch.rand(12, 5, generator=generator).double()
    energy[:6, :2] += 1
    energy[6:, 3:] += 1
    sets = [torch.tensor(s) for s in itertools.combinations(range(5), 2)]
    gains = torch.stack([energy[:, s].sum(1) for s in sets], 1)
    best = max(
        float(torch.maximum(gains[:, a], gains[:, b]).sum())
        for a, b in itertools.combinations(range(len(sets)), 2)
    )
    pool = choose_pool(energy, (2,), 2)
    assert kept_energy(energy, pool, (2,))[0] * float(energy.sum()) == pytest.approx(best)


def test_more_patterns_never_keep_less_and_all_are_used() -> None:
    energy, kept = energies(40, 9, seed=1), (3, 5, 6)
    found = [choose_pool(energy, kept, size) for size in (1, 4, 8, 12, 40)]
    totals = [total(energy, pool, kept) for pool in found]
    assert totals == sorted(totals)
    assert totals[-1] > totals[0] + 0.1
    for size, pool in zip((1, 4, 8, 12, 40), found, strict=True):
        assert len(pool.orders) <= size
        assert sorted(set(pool.index.tolist())) == list(range(len(pool.orders)))
        assert all(sorted(order) == list(range(9)) for order in pool.orders.tolist())


def test_ranks_say_where_a_position_stands() -> None:
    pool = Pool(torch.tensor([[2, 0, 1], [0, 1, 2]]), torch.tensor([1, 0]))
    assert pool.ranks().tolist() == [[0, 1, 2], [1, 2, 0]]


def test_equal_filters_share_a_pattern() -> None:
    energy = energies(1, 9).repeat(7, 1)
    assert len(choose_pool(energy, (3, 6), 8).orders) == 1
    assert len(choose_pool(torch.zeros(4, 9), (3,), 8).orders) == 1  # nothing to tell apart


@pytest.mark.parametrize(("kept", "size"), [((0,), 4), ((10,), 4), ((3,), 0), ((), 4)])
def test_impossible_pools_are_refused(kept: tuple[int, ...], size: int) -> None:
    with pytest.raises(ConfigError, match="expected at least 1 pattern"):
        choose_pool(energies(4, 9), kept, size)
