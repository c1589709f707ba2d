"""Time, energy, power cycles and fast memory of one mode on a battery-free device."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field

from evaluators.usage import sites_of
from search.api.candidate import Candidate
from search.api.errors import EvaluationError, InfeasibleCandidate
from search.api.metric import Fidelity, Measurement, Metric
from search.api.network import Site
from search.api.protocols import Context
from spaces.eve.device.cost import mode_cost
from spaces.eve.device.limits import energy_violations
from spaces.eve.device.table import Profile, load_profile
from spaces.eve.family import ModePlan

_SOURCE = "iNAS (EMCLab-Sinica, Intermittent-aware-NAS): cost model of the MSP430FR5994"
METRICS = (
    Metric("latency_device", "s", "min", "one inference, recharging included", _SOURCE),
    Metric("energy_device", "mJ", "min", "one inference, reboots included", _SOURCE),
    Metric("power_cycles", "1", "min", "times the capacitor is emptied by one inference", _SOURCE),
    Metric("sram_bytes", "B", "min", "fast memory that the largest batch needs", _SOURCE),
)


class DeviceCostConfig(BaseModel):
    """Options of ``{name: device_cost}``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    profile: str = Field(
        "external_fram",
        description="external_fram (as published), onchip_fram (ours), or a path ending in .toml",
    )
    power_mw: float | None = Field(
        None,
        gt=0,
        description="constant harvested power [mW]; absent: charging from the profile's supply "
        "through its resistance while the device is off, as published",
    )


class DeviceCost:
    """Scores one mode; of a family, use it inside ``members``.

    Args:
        sites: of the network.
        profile: the device.
        power_w: constant harvested power [W]; None: as published.
    """

    Config: ClassVar[type[DeviceCostConfig]] = DeviceCostConfig
    metrics: Sequence[Metric] = METRICS
    needs: frozenset[str] = frozenset()

    def __init__(
        self, sites: Sequence[Site], profile: Profile, *, power_w: float | None = None
    ) -> None:
        self._sites, self._profile, self._power = tuple(sites), profile, power_w

    @classmethod
    def from_config(cls, config: DeviceCostConfig, workload: Any) -> Self:
        """The evaluator for ``workload``'s network.

        Raises:
            ConfigError: there is no workload, or no such profile.
        """
        power = None if config.power_mw is None else config.power_mw / 1e3
        sites = sites_of(workload, "device_cost")
        return cls(sites, load_profile(config.profile), power_w=power)

    def evaluate(
        self, candidate: Candidate[Any], fidelity: Fidelity, ctx: Context
    ) -> Sequence[Measurement]:
        """All four; evidence ``model``.

        Raises:
            EvaluationError: the payload is no mode, or does not fit network or device.
            InfeasibleCandidate: a batch takes more energy than a power cycle gives.
        """
        mode = candidate.payload
        if not isinstance(mode, ModePlan):
            raise EvaluationError(
                f"candidate {candidate.digest}: device_cost scores one mode (got a payload of "
                f"type {type(mode).__name__}). Put it into `members` for a family"
            )
        cost = mode_cost(self._sites, mode, self._profile, power_w=self._power)
        broken = energy_violations(self._sites, mode, cost, self._profile)
        if broken:
            raise InfeasibleCandidate(broken)
        values = (cost.latency_s, 1e3 * cost.energy_j, cost.power_cycles, cost.sram_bytes)
        return tuple(
            Measurement(metric.name, float(value), metric.unit, fidelity.name, "model")
            for metric, value in zip(METRICS, values, strict=True)
        )
