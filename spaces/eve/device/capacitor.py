"""The capacitor that a battery-free device runs from.

It switches the device on at one voltage and off at a lower one; what it gives between the two is
the energy of a power cycle.

Source: iNAS (EMCLab-Sinica, Intermittent-aware-NAS): formulas of usable energy and of recharging
    through a resistance. Charging with constant power is ours.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from spaces.eve.device.table import Profile


@dataclass(frozen=True)
class Capacitor:
    """A capacitor between its thresholds.

    Args:
        capacitance_f: in farad.
        resistance_ohm: of the harvester.
        voltage_on, voltage_off, voltage_supply: where the device starts, where it stops, and where
            charging ends [V].
        margin: share of the energy between the thresholds that is relied on.
    """

    capacitance_f: float
    resistance_ohm: float
    voltage_on: float
    voltage_off: float
    voltage_supply: float
    margin: float = 1.0

    @classmethod
    def of(cls, profile: Profile) -> Capacitor:
        """The capacitor of ``profile``."""
        v = profile.values
        return cls(v["capacitance"], v["resistance"], v["voltage_on"], v["voltage_off"],
                   v["voltage_supply"], v["margin"])  # fmt: skip

    @property
    def usable_j(self) -> float:
        """Energy of a power cycle [J]: from switching on to switching off."""
        return self._above_off(self.voltage_on)

    @property
    def full_j(self) -> float:
        """The same from the supply's voltage on: what an idle device can have stored [J]."""
        return self._above_off(self.voltage_supply)

    def recharge_s(self, used_j: float, power_w: float | None = None) -> float:
        """Time to get ``used_j`` back [s].

        Args:
            used_j: from 0 to :attr:`usable_j`.
            power_w: constant harvested power; None: from the supply through the resistance.

        Returns:
            infinity without any power.
        """
        if used_j <= 0:
            return 0.0
        if power_w is not None:
            return used_j / power_w if power_w > 0 else math.inf
        left = max(0.0, self.usable_j - used_j)
        voltage = math.sqrt(2 * left / self.capacitance_f + self.voltage_off**2)
        ratio = (self.voltage_supply - self.voltage_on) / (self.voltage_supply - voltage)
        return max(0.0, -self.resistance_ohm * self.capacitance_f * math.log(ratio))

    def _above_off(self, voltage: float) -> float:
        return self.capacitance_f / 2 * (voltage**2 - self.voltage_off**2) * self.margin
