"""What a whole mode costs on the device: time, energy, power cycles, fast memory."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from search.api.network import Site
from spaces.eve.device.capacitor import Capacitor
from spaces.eve.device.elementwise import elementwise_cost
from spaces.eve.device.geometry import kept_inputs, layers_of
from spaces.eve.device.table import Cost, Profile
from spaces.eve.device.tiles import LayerCost, layer_cost
from spaces.eve.family import ModePlan


@dataclass(frozen=True)
class ModeCost:
    """One inference in one mode.

    Args:
        layers: in execution order, without reboots.
        power_cycles: how often the capacitor is emptied, at least 1.
        cycles: clock cycles without reboots, but with what is fetched again after them.
        active_s: time the device is on, reboots included [s].
        latency_s: the same with recharging [s]; infinity if a batch never fits, or without power.
        energy_j: taken from the capacitor, reboots included [J].
        worst_cycle_j: the least that a power cycle must give for progress: reboot, what is fetched
            again, and the worst batch [J].
        usable_j: what a power cycle gives [J].
        sram_bytes: the most that a layer needs.
    """

    layers: tuple[LayerCost, ...]
    power_cycles: int
    cycles: float
    active_s: float
    latency_s: float
    energy_j: float
    worst_cycle_j: float
    usable_j: float
    sram_bytes: int

    @property
    def feasible(self) -> bool:
        """Whether every batch fits into a power cycle."""
        return self.worst_cycle_j <= self.usable_j

    @property
    def active_w(self) -> float:
        """Mean power while on [W]."""
        return self.energy_j / self.active_s


def mode_cost(
    sites: Sequence[Site], mode: ModePlan, profile: Profile, *, power_w: float | None = None
) -> ModeCost:
    """The cost of ``mode`` on ``profile``.

    A power cycle runs as many whole batches of a layer as its energy allows. The published model
    runs one; with batches that fill the capacitor both are the same.

    Args:
        sites: of the network, in execution order.
        mode: what it keeps.
        profile: the device.
        power_w: constant harvested power [W], which also flows while the device is on; None:
            as published, charging through a resistance while it is off.

    Raises:
        EvaluationError: the mode does not fit the network, or the device lacks an operator.

    Source: iNAS: energy of a power cycle, recharging. Filling a power cycle is ours.
    """
    layers = layers_of(sites, mode)
    inputs = kept_inputs(sites, layers)
    costs = tuple(
        layer_cost(s.name, *layers[s.name], inputs[s.name], mode.bits, profile)
        if s.name in layers
        else elementwise_cost(s, inputs[s.name], mode.bits, profile)
        for s in sites
    )
    capacitor = Capacitor.of(profile)
    reboot_j, usable = profile.value("reboot_energy"), capacitor.usable_j
    worst = max((c.worst.energy_j + c.resume.energy_j for c in costs if c.batches), default=0.0)
    work, cycles = Cost(), 0.0
    for cost in costs:
        share = _power_cycles(cost, usable - reboot_j)
        work, cycles = work + cost.total + cost.resume * share, cycles + share
    count = max(1, math.ceil(cycles - 1e-9))
    energy = work.energy_j + count * reboot_j
    active = profile.seconds(work.cycles) + count * profile.value("reboot_time")
    latency = math.inf
    if worst + reboot_j <= usable:
        latency = _latency(active, energy, count, capacitor, power_w)
    return ModeCost(costs, count, work.cycles, active, latency, energy, worst + reboot_j, usable,
                    max((c.sram_bytes for c in costs), default=0))  # fmt: skip


def _power_cycles(cost: LayerCost, budget_j: float) -> float:
    """Power cycles that a layer takes, as a fraction: whole batches fit into each."""
    if not cost.batches:
        return cost.total.energy_j / budget_j
    each = cost.total.energy_j / cost.batches
    fit = math.floor((budget_j - cost.resume.energy_j) / each)
    return cost.batches / max(1, fit)


def _latency(
    active_s: float, energy_j: float, count: int, capacitor: Capacitor, power_w: float | None
) -> float:
    if power_w is None:
        return active_s + count * capacitor.recharge_s(min(energy_j / count, capacitor.usable_j))
    if power_w <= 0:
        return math.inf
    return max(active_s, energy_j / power_w)
