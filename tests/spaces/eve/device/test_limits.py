from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from search.api.network import Site
from spaces.eve.device.cost import mode_cost
from spaces.eve.device.limits import Limits, violations
from spaces.eve.device.table import load_profile
from spaces.eve.family import ModeFamily, ModePlan

PROFILE = load_profile("external_fram")


def test_what_fits_breaks_nothing(sites: tuple[Site, ...], family: ModeFamily) -> None:
    assert violations(sites, family, PROFILE) == []


def test_deadlines_of_each_mode(sites: tuple[Site, ...], family: ModeFamily) -> None:
    costs = [mode_cost(sites, m, PROFILE, power_w=2e-3) for m in family.members]
    limits = Limits(tuple(c.latency_s - 0.5 for c in costs), power_w=2e-3)
    found = violations(sites, family, PROFILE, limits)
    assert [v.rule for v in found] == ["deadline"] * 3
    assert all(v.excess == pytest.approx(0.5) and v.unit == "s" for v in found)
    # The last one holds for all that follow.
    one = violations(sites, family, PROFILE, Limits((costs[0].latency_s,), power_w=2e-3))
    assert [v.detail[:7] for v in one] == ["level 2", "level 3"]


def test_memory(sites: tuple[Site, ...], family: ModeFamily) -> None:
    found = violations(sites, family, PROFILE, Limits(fram_bytes=30_000, sram_bytes=1000))
    assert found[0].rule == "fram"
    assert found[0].excess > 0
    assert "at most 30000 B" in found[0].detail
    assert [v.rule for v in found[1:]] == ["sram"] * 3
    assert "Fits with" in found[1].detail


def test_the_hinted_tile_is_the_largest_that_fits(
    sites: tuple[Site, ...], make_mode: Callable[..., ModePlan]
) -> None:
    def sram(filters: int) -> list[str]:
        mode = make_mode(tile=(7, 7, filters, 16))
        return [v.detail for v in violations(sites, ModeFamily((mode,)), PROFILE)
                if v.rule == "sram"]  # fmt: skip

    hint = sram(16)[0].rsplit(" ", 1)[1]
    assert "filters up to" in sram(16)[0]
    assert sram(int(hint)) == []
    assert sram(int(hint) + 1)


def test_energy_of_a_power_cycle(
    sites: tuple[Site, ...], make_mode: Callable[..., ModePlan]
) -> None:
    mode = make_mode(tile=(7, 14, 1, 16), order="reuse_I", batch=16)
    family = ModeFamily((mode,))
    found = [v for v in violations(sites, family, PROFILE) if v.rule == "energy_per_power_cycle"]
    cost = mode_cost(sites, mode, PROFILE)
    assert len(found) == 1
    assert found[0].excess == pytest.approx(1e3 * (cost.worst_cycle_j - cost.usable_j))
    largest = int(found[0].detail.rsplit(" ", 1)[1])
    assert "Fits with batch up to" in found[0].detail
    for batch, fits in ((largest, True), (largest + 1, False)):
        layers = tuple(
            replace(entry, execution=replace(entry.execution, batch=batch)) for entry in mode.layers
        )
        changed = ModePlan(1, layers, 16)
        assert mode_cost(sites, changed, PROFILE).feasible is fits
