"""A device that lives from harvested energy: charges, works, fails and goes on where it preserved.

Between two changes (of the power, of what it does, of the capacitor's state) everything is linear
in time, so the simulation jumps from change to change and is exact for its model: batches of a
layer are alike, and a batch that a power failure interrupts is done again.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass, field, replace

from evaluators.device.traces import Trace
from spaces.eve.device.capacitor import Capacitor
from spaces.eve.device.cost import ModeCost
from spaces.eve.device.table import Profile

_TINY = 1e-9


@dataclass(frozen=True)
class Stretch:
    """Equal batches of one layer.

    Args:
        batches: how many.
        batch_s, batch_w: time [s] and power [W] of each.
        resume_s, resume_w: of what is fetched again after a power failure.
    """

    batches: int
    batch_s: float
    batch_w: float
    resume_s: float
    resume_w: float


@dataclass(frozen=True)
class Job:
    """One inference in one mode, as stretches in order."""

    stretches: tuple[Stretch, ...]

    @classmethod
    def of(cls, cost: ModeCost, profile: Profile) -> Job:
        """What the cost model says about a mode."""
        found = []
        for layer in cost.layers:
            batches, total = max(1, layer.batches), layer.total
            seconds = profile.seconds(total.cycles)
            if seconds <= 0:
                continue
            resume = profile.seconds(layer.resume.cycles)
            resume_w = layer.resume.energy_j / resume if resume else 0.0
            found.append(
                Stretch(batches, seconds / batches, total.energy_j / seconds, resume, resume_w)
            )
        return cls(tuple(found))

    @property
    def seconds(self) -> float:
        """Time without power failures [s]."""
        return sum(s.batches * s.batch_s for s in self.stretches)

    @property
    def energy_j(self) -> float:
        """Energy without power failures [J]."""
        return sum(s.batches * s.batch_s * s.batch_w for s in self.stretches)


@dataclass(frozen=True)
class Supply:
    """What the device runs from, and what starting takes.

    Args:
        usable_j: stored when it switches on [J]; at 0 it fails.
        full_j: the most that can be stored [J].
        boot_s, boot_w: of each start.
        idle_w: while it waits.
    """

    usable_j: float
    full_j: float
    boot_s: float
    boot_w: float
    idle_w: float

    @classmethod
    def of(cls, profile: Profile) -> Supply:
        """The supply of ``profile``."""
        capacitor, boot_s = Capacitor.of(profile), profile.value("reboot_time")
        boot_w, idle_w = profile.value("reboot_energy") / boot_s, profile.value("idle_power")
        return cls(capacitor.usable_j, capacitor.full_j, boot_s, boot_w, idle_w)


@dataclass
class Device:
    """The state of a device on a trace; starts empty and off at time 0.

    Args:
        trace: harvested power.
        supply: what it runs from.
    """

    trace: Trace
    supply: Supply
    time_s: float = 0.0
    stored_j: float = 0.0
    on: bool = False
    harvested_j: float = 0.0
    wasted_j: float = 0.0
    used_j: float = 0.0
    repeated_j: float = 0.0
    boots: int = 0
    off_s: float = 0.0
    _segment: int = field(default=0, repr=False)

    def copy(self) -> Device:
        """The same state, to try something."""
        return replace(self)

    @property
    def balance_j(self) -> float:
        """Harvested less used, wasted and stored [J]: 0 but for rounding."""
        return self.harvested_j - self.used_j - self.wasted_j - self.stored_j

    def power_w(self) -> float:
        """Harvested right now [W]."""
        return self.trace.power_w[self._segment]

    def work(self, load_w: float, seconds: float) -> float:
        """Run at ``load_w`` for up to ``seconds``; less if the power fails (then it is off).

        Returns:
            how long it really ran [s].
        """
        left = seconds
        while left > 0:
            done = self._flow(load_w, left, self.supply.full_j)
            left -= done
            if self.stored_j <= 0 and self.power_w() < load_w:
                self.on = False
                break
        return seconds - max(0.0, left)

    def wake(self, until_s: float) -> bool:
        """Charge and start unless it is on; whether it is on before ``until_s``."""
        while not self.on and self.time_s < until_s:
            if self.stored_j < self.supply.usable_j - 1e-15:
                before = self.time_s
                self._flow(0.0, until_s - self.time_s, self.supply.usable_j)
                self.off_s += self.time_s - before
                continue
            self.on = True
            self.boots += 1
            self.work(self.supply.boot_w, self.supply.boot_s)
        return self.on and self.time_s < until_s

    def wait(self, until_s: float) -> None:
        """Idle until ``until_s``, charging, and starting when there is enough."""
        while self.time_s < until_s and self.wake(until_s):
            self.work(self.supply.idle_w, until_s - self.time_s)

    def run(self, job: Job, until_s: float) -> bool:
        """Do ``job``; whether it was done by ``until_s``, when it is given up."""
        for stretch in job.stretches:
            left = stretch.batches
            while left:
                if not self.on:
                    if not self.wake(until_s):
                        return False
                    self.work(stretch.resume_w, stretch.resume_s)
                    continue
                wanted = left * stretch.batch_s
                ran = self.work(stretch.batch_w, min(wanted, max(0.0, until_s - self.time_s)))
                done = min(left, math.floor(ran / stretch.batch_s + _TINY))
                left -= done
                if left and self.time_s >= until_s - _TINY:
                    return False
                self.repeated_j += max(0.0, ran - done * stretch.batch_s) * stretch.batch_w
        return True

    def _flow(self, load_w: float, seconds: float, until_j: float) -> float:
        """Let time pass within one segment, until ``seconds``, empty, or ``until_j`` when rising.

        At the full capacitor what comes in is wasted instead of ending the step.
        """
        starts = self.trace.starts_s
        index = self._segment
        power = self.trace.power_w[index]
        step = seconds
        if index + 1 < len(starts):
            step = min(step, starts[index + 1] - self.time_s)
        net = power - load_w
        full = self.supply.full_j
        if net < 0:
            step = min(step, self.stored_j / -net)
        elif net > 0 and until_j < full:
            step = min(step, (until_j - self.stored_j) / net)
        step = max(0.0, step)
        stored = self.stored_j + net * step
        if net < 0 and stored < 1e-15:
            stored = 0.0
        if stored > full:
            self.wasted_j += stored - full
            stored = full
        if until_j < full and net > 0 and abs(stored - until_j) < 1e-14:
            stored = until_j
        self.stored_j = stored
        self.time_s += step
        self.harvested_j += power * step
        self.used_j += load_w * step
        if index + 1 < len(starts) and self.time_s >= starts[index + 1] - 1e-12:
            self.time_s = max(self.time_s, starts[index + 1])
            self._segment = max(index + 1, bisect_right(starts, self.time_s) - 1)
        return step
