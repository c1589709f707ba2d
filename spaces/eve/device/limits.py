"""Whether the device can run a family at all, before anything is trained."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from search.api.candidate import Violation
from search.api.network import Site
from spaces.eve.device.capacitor import Capacitor
from spaces.eve.device.cost import ModeCost, mode_cost
from spaces.eve.device.geometry import kept_inputs, layers_of
from spaces.eve.device.memory import family_memory
from spaces.eve.device.table import Profile
from spaces.eve.device.tiles import LayerCost, layer_cost
from spaces.eve.family import LayerMode, ModeFamily, ModePlan


@dataclass(frozen=True)
class Limits:
    """What a family must keep to.

    Args:
        deadlines_s: of each mode, sparsest first [s]; one number holds for all; none: no deadline.
        power_w: harvested power at which deadlines are checked [W]; None: charging through the
            profile's resistance, as published.
        fram_bytes, sram_bytes: less memory than the device has.
    """

    deadlines_s: tuple[float, ...] = ()
    power_w: float | None = None
    fram_bytes: int | None = None
    sram_bytes: int | None = None

    def deadline(self, index: int) -> float | None:
        """The deadline of the ``index``-th mode; the last one holds for all that follow."""
        if not self.deadlines_s:
            return None
        return self.deadlines_s[min(index, len(self.deadlines_s) - 1)]


def violations(
    sites: Sequence[Site], family: ModeFamily, profile: Profile, limits: Limits | None = None
) -> list[Violation]:
    """Every limit that ``family`` breaks on the device, each once for each mode.

    Rules: ``fram`` and ``sram`` (in B), ``energy_per_power_cycle`` (in mJ), ``deadline`` (in s).

    Raises:
        EvaluationError: the family does not fit the network.
    """
    limits = limits or Limits()
    found = _fram(sites, family, profile, limits)
    for index, mode in enumerate(family.members):
        cost = mode_cost(sites, mode, profile, power_w=limits.power_w)
        found += _sram(sites, mode, cost, profile, limits)
        found += energy_violations(sites, mode, cost, profile)
        found += _deadline(mode, cost, limits.deadline(index))
    return found


def energy_violations(
    sites: Sequence[Site], mode: ModePlan, cost: ModeCost, profile: Profile
) -> list[Violation]:
    """The layer whose batches ask most of a power cycle, if it is too much."""
    excess = cost.worst_cycle_j - cost.usable_j
    if excess <= 0:
        return []
    reboot = profile.value("reboot_energy")
    worst = max((c for c in cost.layers if c.batches),
                key=lambda c: c.worst.energy_j + c.resume.energy_j)  # fmt: skip
    usable = Capacitor.of(profile).usable_j

    def fits(layer: LayerCost) -> bool:
        return layer.worst.energy_j + layer.resume.energy_j + reboot <= usable

    detail = (
        f"{worst.site}, level {mode.level}: a batch takes {1e3 * cost.worst_cycle_j:.3g} mJ with "
        f"the reboot; a power cycle gives {1e3 * usable:.3g} mJ."
        f"{_hint(sites, mode, worst.site, profile, fits)}"
    )
    return [Violation("energy_per_power_cycle", detail, 1e3 * excess, "mJ")]


def _fram(
    sites: Sequence[Site], family: ModeFamily, profile: Profile, limits: Limits
) -> list[Violation]:
    memory = family_memory(sites, family, profile)
    allowed = min(profile.value("fram"), limits.fram_bytes or float("inf"))
    if memory.total <= allowed:
        return []
    detail = (
        f"got {memory.total} B ({memory.weights} weights, {memory.levels} levels, "
        f"{memory.private} biases, {memory.buffers} feature maps, {memory.code} code); at most "
        f"{allowed:.0f} B"
    )
    spare = memory.weights - (memory.total - allowed)
    if spare > 0:
        detail += f". Weights of the densest mode fit up to {spare:.0f} B"
    return [Violation("fram", detail, memory.total - allowed, "B")]


def _sram(
    sites: Sequence[Site], mode: ModePlan, cost: ModeCost, profile: Profile, limits: Limits
) -> list[Violation]:
    allowed = min(profile.value("sram"), limits.sram_bytes or float("inf"))
    worst = max(cost.layers, key=lambda c: c.sram_bytes)
    if worst.sram_bytes <= allowed:
        return []
    hint = _hint(sites, mode, worst.site, profile, lambda c: c.sram_bytes <= allowed)
    detail = (
        f"{worst.site}, level {mode.level}: a batch needs {worst.sram_bytes} B; at most "
        f"{allowed:.0f} B.{hint}"
    )
    return [Violation("sram", detail, worst.sram_bytes - allowed, "B")]


def _deadline(mode: ModePlan, cost: ModeCost, deadline: float | None) -> list[Violation]:
    if deadline is None or cost.latency_s <= deadline:
        return []
    if not cost.feasible:
        return []  # told by its own rule; there is no latency to compare
    detail = f"level {mode.level}: takes {cost.latency_s:.4g} s; at most {deadline:.4g} s"
    excess = min(cost.latency_s - deadline, 1e12)  # without power it takes for ever
    return [Violation("deadline", detail, excess, "s")]


def _hint(
    sites: Sequence[Site],
    mode: ModePlan,
    site: str,
    profile: Profile,
    fits: Callable[[LayerCost], bool],
) -> str:
    """The nearest smaller batch, or else tile, of one layer that ``fits``."""
    layers = layers_of(sites, mode)
    if site not in layers:
        return ""
    shape, layer = layers[site]
    inputs = kept_inputs(sites, layers)[site]

    def cost(changed: LayerMode) -> LayerCost:
        return layer_cost(site, shape, changed, inputs, mode.bits, profile)

    for name, word in (("batch", "batch"), ("filters", "filters"), ("rows", "rows")):
        low, high = 0, getattr(layer.execution, name)
        while low < high - 1:  # the largest value that fits lies in [low, high)
            middle = (low + high) // 2
            execution = replace(layer.execution, **{name: middle})
            if fits(cost(replace(layer, execution=execution))):
                low = middle
            else:
                high = middle
        if low:
            return f" Fits with {word} up to {low}"
    return ""
