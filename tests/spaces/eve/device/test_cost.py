from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from search.api.network import Site
from spaces.eve.device.capacitor import Capacitor
from spaces.eve.device.cost import mode_cost
from spaces.eve.device.table import load_profile, profiles
from spaces.eve.family import ORDERS, ModePlan

PROFILE = load_profile("external_fram")


def test_sums_of_layers_reboots_and_recharging(
    sites: tuple[Site, ...], make_mode: Callable[..., ModePlan]
) -> None:
    found = mode_cost(sites, make_mode(), PROFILE)
    work = sum(c.total.energy_j for c in found.layers)
    reboots = found.power_cycles * PROFILE.value("reboot_energy")
    assert found.feasible
    assert 0 <= found.energy_j - work - reboots < 0.02 * work  # what is fetched again
    assert found.power_cycles * found.usable_j >= found.energy_j
    assert found.active_s == pytest.approx(
        PROFILE.seconds(found.cycles) + found.power_cycles * 0.07
    )
    recharge = Capacitor.of(PROFILE).recharge_s(found.energy_j / found.power_cycles)
    assert found.latency_s == pytest.approx(found.active_s + found.power_cycles * recharge)
    assert [c.site for c in found.layers] == [s.name for s in sites]


def test_harvested_power_decides_on_time(
    sites: tuple[Site, ...], make_mode: Callable[..., ModePlan]
) -> None:
    mode = make_mode()
    weak, strong = (mode_cost(sites, mode, PROFILE, power_w=p) for p in (1e-3, 1.0))
    assert weak.latency_s == pytest.approx(weak.energy_j / 1e-3)
    assert strong.latency_s == strong.active_s
    assert mode_cost(sites, mode, PROFILE, power_w=0.0).latency_s == math.inf


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("unit", ["pattern", "filter"])
@pytest.mark.parametrize("name", profiles())
def test_sparser_modes_cost_less(
    sites: tuple[Site, ...], make_mode: Callable[..., ModePlan], order: str, unit: str, name: str
) -> None:
    profile = load_profile(name)
    found = [
        mode_cost(sites, make_mode(1, kept, unit=unit, order=order), profile)
        for kept in range(1, 10)
    ]
    for sparse, dense in zip(found, found[1:], strict=False):
        assert sparse.energy_j <= dense.energy_j
        assert sparse.active_s <= dense.active_s
        assert sparse.power_cycles <= dense.power_cycles
        assert sparse.worst_cycle_j <= dense.worst_cycle_j
    assert found[0].energy_j < found[-1].energy_j / 2


def test_three_of_nine_positions_are_two_and_a_half_times_faster(
    sites: tuple[Site, ...], make_mode: Callable[..., ModePlan]
) -> None:
    inside = load_profile("onchip_fram")
    sparse, dense = (mode_cost(sites, make_mode(1, k), inside) for k in (3, 9))
    assert dense.active_s / sparse.active_s > 2.5


def test_batches_beyond_a_power_cycle_never_end(
    sites: tuple[Site, ...], make_mode: Callable[..., ModePlan]
) -> None:
    found = mode_cost(sites, make_mode(tile=(14, 14, 16, 16)), PROFILE)
    assert not found.feasible
    assert found.latency_s == math.inf
