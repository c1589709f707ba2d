from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from search.api.network import Site
from spaces.eve.device.memory import family_memory
from spaces.eve.device.table import load_profile
from spaces.eve.family import ModeFamily, ModePlan

PROFILE = load_profile("onchip_fram")


def test_patterns_and_runs(sites: tuple[Site, ...], family: ModeFamily) -> None:
    found = family_memory(sites, family, PROFILE)
    weights = 144 + 4608 + 2880
    assert found.weights == 2 * weights
    # 3 bits for each of 48 filters, two pools of 8 orders of 9 positions in 4 bits, 3 counts for
    # each layer; 2 bits for each of 90 runs.
    assert found.levels == (48 * 3 + 2 * 8 * 9 * 4 + 2 * 24 + 90 * 2 + 7) // 8
    assert found.private == 3 * 2 * (16 + 32 + 10)
    assert found.total == found.model + found.buffers + found.code
    one = family_memory(sites, ModeFamily((replace(family.members[-1], level=1),)), PROFILE)
    assert one.separate == 2 * weights + 2 * 58
    assert 0.4 < found.share < 0.7


def test_near_modes_share_most(sites: tuple[Site, ...], make_mode: Callable[..., ModePlan]) -> None:
    near = ModeFamily(tuple(make_mode(k, kept) for k, kept in enumerate((3, 3, 4), start=1)))
    assert family_memory(sites, near, PROFILE).share < 0.5
    alone = ModeFamily((make_mode(1, 4),))
    assert family_memory(sites, alone, PROFILE).share >= 1.0


def test_dropped_filters_take_their_inputs_along(
    sites: tuple[Site, ...], make_mode: Callable[..., ModePlan]
) -> None:
    family = ModeFamily((make_mode(1, 3, unit="filter"), make_mode(2, 6, unit="filter")))
    found = family_memory(sites, family, PROFILE)
    first, second = 16 * 6 // 9, 32 * 6 // 9
    linear = -(-min(2880, 60 * 32) * second // 32)
    assert found.weights == 2 * (9 * first + 9 * first * second + linear)
    assert found.levels == (first + second + 90 * 2 + 7) // 8


@pytest.mark.parametrize("bits", [8, 16])
def test_bytes_follow_bits(
    sites: tuple[Site, ...], make_mode: Callable[..., ModePlan], bits: int
) -> None:
    found = family_memory(sites, ModeFamily((make_mode(1, 9, bits=bits),)), PROFILE)
    assert found.weights == 7632 * bits // 8
    assert found.buffers == (16 * 14 * 14 + 16 * 7 * 7) * bits // 8
    assert found.levels == 0
