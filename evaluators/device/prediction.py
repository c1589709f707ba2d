"""How much power a mode needs to be in time: a table that a device can hold."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from evaluators.device.intermittent import Device, Job, Supply
from evaluators.device.traces import Trace

_ENERGY_STEPS, _TIME_STEPS = 16, 64
_LOWEST_W, _HALVINGS = 1e-6, 10


@dataclass
class Needs:
    """Least constant powers, found by running the device model and then remembered.

    Energy and time are rounded down to steps, so needs are never told too low by rounding.

    Args:
        jobs: one inference in each mode.
        supply: the capacitor.
        deadline_s: the most time there is [s].
    """

    jobs: Sequence[Job]
    supply: Supply
    deadline_s: float
    _known: dict[tuple[tuple[int, ...], int, int], float] = field(default_factory=dict)

    def power_w(self, modes: tuple[int, ...], stored_j: float, left_s: float) -> float:
        """The least constant power at which ``modes``, one after the other, are in time [W].

        Args:
            modes: counted from 0.
            stored_j: in the capacitor; the device is on.
            left_s: until the deadline.

        Returns:
            infinity if no power is enough.
        """
        energy = math.floor(_ENERGY_STEPS * stored_j / self.supply.full_j)
        time = math.floor(_TIME_STEPS * left_s / self.deadline_s + 1e-9)
        key = (modes, energy, time)
        if key not in self._known:
            stored = energy * self.supply.full_j / _ENERGY_STEPS
            self._known[key] = self._search(modes, stored, time * self.deadline_s / _TIME_STEPS)
        return self._known[key]

    def _search(self, modes: tuple[int, ...], stored_j: float, left_s: float) -> float:
        job = Job(tuple(s for mode in modes for s in self.jobs[mode].stretches))
        # More power than all loads take changes nothing.
        loads = [max(s.batch_w, s.resume_w) for s in job.stretches]
        high = 1.01 * max(self.supply.boot_w, *loads)
        if not self._in_time(job, stored_j, left_s, high):
            return math.inf
        low = _LOWEST_W
        if self._in_time(job, stored_j, left_s, low):
            return 0.0
        for _ in range(_HALVINGS):
            middle = math.sqrt(low * high)
            if self._in_time(job, stored_j, left_s, middle):
                high = middle
            else:
                low = middle
        return high

    def _in_time(self, job: Job, stored_j: float, left_s: float, power_w: float) -> bool:
        device = Device(Trace((0.0,), (power_w,)), self.supply, stored_j=stored_j, on=True)
        return device.run(job, left_s)
