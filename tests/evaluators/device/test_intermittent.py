from __future__ import annotations

import random

import pytest

from evaluators.device.intermittent import Device, Job, Stretch, Supply
from evaluators.device.traces import Trace


def always(power_w: float) -> Trace:
    return Trace((0.0,), (power_w,))


def test_charging_starts_the_device(supply: Supply) -> None:
    device = Device(always(1e-3), supply)
    assert not device.wake(2.7)
    assert device.off_s == pytest.approx(2.7)
    assert device.wake(10.0)
    assert device.time_s == pytest.approx(2.75 + 0.07)
    assert device.boots == 1
    assert device.stored_j == pytest.approx(2.75e-3 + 0.07 * (1e-3 - 1.1e-3))


def test_a_full_capacitor_wastes(supply: Supply) -> None:
    device = Device(always(1e-3), supply)
    device.wait(100.0)
    assert device.time_s == pytest.approx(100.0)
    assert device.stored_j == pytest.approx(supply.full_j)
    assert device.wasted_j == pytest.approx(0.1 - device.used_j - supply.full_j)


def test_with_enough_power_a_job_takes_its_time(supply: Supply, jobs: tuple[Job, ...]) -> None:
    device = Device(always(8e-3), supply, stored_j=1e-3, on=True)
    assert device.run(jobs[0], 100.0)
    assert device.time_s == pytest.approx(jobs[0].seconds)
    assert device.repeated_j == 0.0
    assert not device.copy().run(jobs[0], device.time_s + 1.0)


def test_power_failures_repeat_the_batch_under_way(supply: Supply) -> None:
    """Without power while on: a full charge runs 0.55 s less the start; 5 whole batches."""
    job = Job((Stretch(20, 0.1, 5e-3, 0.01, 5e-3),))
    device = Device(always(1e-9), supply, stored_j=2.75e-3, on=True)
    device.run(job, 1.0)
    assert device.repeated_j == pytest.approx(0.05 * 5e-3, rel=1e-3)
    device = Device(always(1e-3), supply)
    assert device.run(job, 1000.0)
    # 4 mW are missing while on, 0.1 mW while starting: 0.675 s in each power cycle, 6 batches,
    # but for 0.01 s of fetching again in each but the first.
    assert device.boots == 4
    assert device.repeated_j > 0


def test_a_batch_beyond_a_power_cycle_ends_at_the_deadline(supply: Supply) -> None:
    job = Job((Stretch(2, 1.0, 5e-3, 0.0, 0.0),))
    device = Device(always(1e-3), supply)
    assert not device.run(job, 50.0)
    assert device.time_s == pytest.approx(50.0)
    assert Device(always(4e-3), supply).run(job, 50.0)


def test_no_power_at_all(supply: Supply, jobs: tuple[Job, ...]) -> None:
    device = Device(always(0.0), supply)
    assert not device.run(jobs[0], 30.0)
    device.wait(60.0)
    assert device.time_s == pytest.approx(60.0)
    assert device.used_j == 0.0


@pytest.mark.parametrize("seed", range(30))
def test_energy_is_conserved(supply: Supply, jobs: tuple[Job, ...], seed: int) -> None:
    rng = random.Random(seed)
    starts = [0.0]
    while starts[-1] < 300:
        starts.append(starts[-1] + rng.expovariate(1.0))
    trace = Trace(tuple(starts), tuple(rng.choice((0.0, 2e-4, 1e-3, 8e-3)) for _ in starts))
    device, done = Device(trace, supply), 0.0
    while device.time_s < 280:
        before = device.time_s
        if rng.random() < 0.5:
            device.wait(before + rng.uniform(0.0, 20.0))
        else:
            chosen = rng.choice(jobs)
            finished = device.run(chosen, before + rng.uniform(0.0, 20.0))
            done += chosen.energy_j * finished
        assert device.time_s >= before
        assert -1e-12 <= device.stored_j <= supply.full_j + 1e-12
        assert abs(device.balance_j) < 1e-9
    assert device.harvested_j == pytest.approx(trace.energy_j(0.0, device.time_s), abs=1e-9)
    assert device.used_j >= done


def test_a_copy_leaves_the_original_alone(supply: Supply, jobs: tuple[Job, ...]) -> None:
    device = Device(always(2e-3), supply)
    device.wait(5.0)
    state = (device.time_s, device.stored_j, device.on, device.used_j)
    device.copy().run(jobs[2], 50.0)
    assert (device.time_s, device.stored_j, device.on, device.used_j) == state


def test_more_power_is_never_later(supply: Supply, jobs: tuple[Job, ...]) -> None:
    ends = []
    for power in (5e-4, 1e-3, 2e-3, 4e-3, 8e-3):
        device = Device(always(power), supply)
        assert device.run(jobs[1], 1e4)
        ends.append(device.time_s)
    assert ends == sorted(ends, reverse=True)
