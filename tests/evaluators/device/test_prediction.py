from __future__ import annotations

import math

import pytest

from evaluators.device.intermittent import Device, Job, Supply
from evaluators.device.prediction import Needs
from evaluators.device.traces import Trace


@pytest.mark.parametrize("left", [4.0, 8.0, 15.0])
@pytest.mark.parametrize("mode", [0, 1])
def test_the_least_power_is_enough(
    supply: Supply, jobs: tuple[Job, ...], mode: int, left: float
) -> None:
    needed = Needs(jobs, supply, 15.0).power_w((mode,), supply.full_j, left)
    assert 0 < needed < 8e-3

    def in_time(power: float) -> bool:
        trace = Trace((0.0,), (power,))
        return Device(trace, supply, stored_j=supply.full_j, on=True).run(jobs[mode], left)

    assert in_time(needed)
    assert not in_time(0.8 * needed)


def test_needs_rise_with_work_and_fall_with_time_and_energy(
    supply: Supply, jobs: tuple[Job, ...]
) -> None:
    needs = Needs(jobs, supply, 15.0)
    by_mode = [needs.power_w((mode,), 1e-3, 12.0) for mode in range(3)]
    assert by_mode == sorted(by_mode)
    assert needs.power_w((0, 1), 1e-3, 12.0) > needs.power_w((1,), 1e-3, 12.0)
    assert needs.power_w((1,), 2.5e-3, 12.0) <= needs.power_w((1,), 1e-3, 12.0)
    assert needs.power_w((1,), 1e-3, 15.0) < needs.power_w((1,), 1e-3, 8.0)


def test_what_cannot_be_in_time(supply: Supply, jobs: tuple[Job, ...]) -> None:
    assert Needs(jobs, supply, 15.0).power_w((2,), 2e-3, 0.9 * jobs[2].seconds) == math.inf


def test_stored_energy_can_be_enough(supply: Supply, jobs: tuple[Job, ...]) -> None:
    short = Job(jobs[0].stretches[:1])
    big = Supply(1.0, 1.0, supply.boot_s, supply.boot_w, supply.idle_w)
    assert Needs((short,), big, 15.0).power_w((0,), 1.0, 15.0) == 0.0
