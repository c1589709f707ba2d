from __future__ import annotations

import random
from typing import Any

import pytest

from search.api.candidate import to_plain
from search.api.domain import Point
from search.api.errors import ConfigError, InfeasibleCandidate
from search.api.network import Site
from spaces.eve.device.cost import mode_cost
from spaces.eve.device.table import load_profile
from spaces.eve.space import EveSpace

SITES = (
    Site("conv1", "conv", "conv", (1, 14, 14), (8, 14, 14), 14 * 14 * 72, 72,
         {"kernel": 3, "stride": 1, "padding": 1, "groups": 1}),
    Site("pool1", "pool", "maxpool", (8, 14, 14), (8, 7, 7), attributes={"kernel": 2, "stride": 2}),
    Site("relu1", "activation", "relu", (8, 7, 7), (8, 7, 7)),
    Site("classifier", "linear", "linear", (392,), (10,), 3920, 3920),
)  # fmt: skip
POINT = {
    "bits": 8, "pool": 8, "keep": (1.0, 1.0), "steps": (0.7, 0.6), "tile_side": 7,
    "tile_filters": 8, "tile_channels": 32, "order": "reuse_W", "batch": 1,
}  # fmt: skip


def space(**options: Any) -> EveSpace:
    return EveSpace.from_config(EveSpace.Config.model_validate(options), Network())


class Network:
    """A workload as far as spaces see it."""

    name, digest = "net", "0" * 16

    def sites(self) -> tuple[Site, ...]:
        return SITES


def sampled(found: EveSpace, count: int) -> list[Point]:
    rng = random.Random(1)
    return [{p.name: p.domain.sample(rng) for p in found.params()} for _ in range(count)]


def test_points_become_families() -> None:
    found = space()
    assert not found.check(POINT)
    family = found.build(POINT)
    assert [m.layers[0].kept for m in family.members] == [4, 6, 9]
    assert (family.pool, family.bits) == (8, 8)
    assert found.members("keep") == ("conv1", "classifier")
    assert found.kind == "eve"
    assert found.sites == SITES


def test_payloads_can_be_read_back() -> None:
    family = space().build(POINT)
    assert space().decode(to_plain(family)) == family
    assert space().decode(to_plain(family.members[1])) == family.members[1]


def test_slow_modes_are_refused_before_training() -> None:
    """By how much: exactly what the device model says."""
    device = load_profile("external_fram")
    family = space(profile=None).build(POINT)
    times = [mode_cost(SITES, m, device, power_w=0.002).latency_s for m in family.members]
    limits = {"deadlines": [times[0] + 1, times[1] - 0.5], "power_mw": 2}
    found = space(limits=limits).check(POINT)
    assert [(v.rule, v.unit) for v in found] == [("deadline", "s")] * 2
    assert found[0].detail.startswith("level 2")
    assert found[0].excess == pytest.approx(0.5)
    assert found[1].excess == pytest.approx(times[2] - times[1] + 0.5)
    with pytest.raises(InfeasibleCandidate):
        space(limits=limits).build(POINT)


@pytest.mark.parametrize(
    ("options", "point", "rule"),
    [
        ({"limits": {"fram": 20_000}}, {}, "fram"),
        ({"limits": {"sram": 500}}, {}, "sram"),
        ({"tile_side": [7, 14]}, {"tile_side": 14}, "energy_per_power_cycle"),
    ],
)
def test_limits_of_the_device(options: dict[str, Any], point: dict[str, Any], rule: str) -> None:
    rules = [v.rule for v in space(**options).check(POINT | point)]
    assert rule in rules
    assert not space(**options, profile=None).check(POINT | point)


def test_repair_finds_a_legal_point() -> None:
    found = space(limits={"sram": 1200, "deadlines": [12, 30, 60], "power_mw": 0.5})
    repaired = 0
    for point in sampled(found, 8):
        legal = found.repair(point)
        assert not found.check(legal)
        repaired += legal != point
        assert found.repair(legal) is legal
    assert repaired


def test_domains_come_first() -> None:
    assert [v.rule for v in space().check(POINT | {"bits": 12})] == ["domain"]
    assert not space(bits=8, pool=8).check(POINT)  # other names are ignored


def test_what_cannot_be_searched_is_refused() -> None:
    with pytest.raises(ConfigError, match="needs a network"):
        EveSpace.from_config(EveSpace.Config(), None)
    with pytest.raises(ConfigError, match="unknown device profile"):
        space(profile="esp32")
    gelu = (*SITES[:2], Site("gelu", "activation", "gelu", (8, 7, 7), (8, 7, 7)), SITES[3])
    with pytest.raises(ConfigError, match=r"gelu.*`profile: null`"):
        EveSpace(gelu)
    EveSpace(gelu, profile=None)
