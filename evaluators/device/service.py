"""A device that answers requests on harvested energy, and how well it does."""

from __future__ import annotations

import random
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from evaluators.device.forecast import Forecaster
from evaluators.device.intermittent import Device, Job, Supply
from evaluators.device.policies import Policy, Situation
from evaluators.device.prediction import Needs
from evaluators.device.traces import Trace
from search.api.errors import ConfigError


@dataclass(frozen=True)
class Score:
    """What became of all requests of one run.

    Args:
        requests: how many.
        answered: in time, by mode, sparsest first.
        late: tries in each mode that the deadline ended, those after an answer included.
        passed: never tried: the policy let them pass, or there was no energy before the deadline.
        accuracy: deadline-met accuracy [%]: sum of the accuracies of the modes of all answers in
            time, over all requests.
        harvested_j, used_j, wasted_j, stored_j: energy that came in, was taken, found the
            capacitor full, and is left [J].
        repeated_j: taken by batches that a power failure interrupted [J].
        boots: starts.
        off_s: time without enough energy to be on [s].
    """

    requests: int
    answered: tuple[int, ...]
    late: tuple[int, ...]
    passed: int
    accuracy: float
    harvested_j: float
    used_j: float
    wasted_j: float
    stored_j: float
    repeated_j: float
    boots: int
    off_s: float

    @property
    def met(self) -> float:
        """Requests answered in time [%]."""
        return 100.0 * sum(self.answered) / self.requests


def arrivals(count: int, gap_s: float, kind: str, seed: int) -> tuple[float, ...]:
    """When ``count`` requests come [s].

    Args:
        count: how many.
        gap_s: between two, on average.
        kind: ``periodic`` (the first after one gap) or ``poisson``.
        seed: of ``poisson``.

    Raises:
        ConfigError: an unknown kind.
    """
    if kind == "periodic":
        return tuple(gap_s * (k + 1) for k in range(count))
    if kind != "poisson":
        raise ConfigError(f"unknown value {kind!r} (known: periodic, poisson)", path="arrivals")
    rng, time, found = random.Random(f"arrivals/{seed}"), 0.0, []
    for _ in range(count):
        time += rng.expovariate(1.0 / gap_s)
        found.append(time)
    return tuple(found)


def serve(
    trace: Trace,
    supply: Supply,
    jobs: Sequence[Job],
    accuracies: Sequence[float],
    requests: Sequence[float],
    deadline_s: float,
    policy: Policy,
    *,
    needs: Needs | None = None,
) -> Score:
    """Answer ``requests`` one after the other.

    A request waits while the one before it is under way or the device is off; a mode is chosen
    when its turn comes. An answer after the deadline is worth nothing, so work on it ends there;
    what it took is lost. That holds for every policy alike. A second try, for a better answer, also
    ends when the next request comes; the answer that counts is the last one before the deadline.

    Args:
        trace: harvested power.
        supply: the capacitor.
        jobs: one inference in each mode, sparsest first.
        accuracies: of the modes [%].
        requests: times, never falling [s].
        deadline_s: from a request on [s].
        policy: chooses the mode.
        needs: of the same jobs, supply and deadline, from an earlier call; saves time.
    """
    device, forecaster = Device(trace, supply), Forecaster(trace)
    needs = needs or Needs(jobs, supply, deadline_s)
    answered, late, passed, total = [0] * len(jobs), [0] * len(jobs), 0, 0.0
    for number, request in enumerate(requests):
        device.wait(request)
        until = request + deadline_s
        if not device.wake(until):
            passed += 1
            continue

        def foresee(index: int, until: float = until) -> bool:
            return device.copy().run(jobs[index], until)

        best: int | None = None
        while True:
            now = device.time_s
            waiting = bisect_right(requests, now) - number - 1
            # Those that wait are to have their part of the time until the last one's deadline.
            left = min(until - now, (requests[number + waiting] + deadline_s - now) / (waiting + 1))
            situation = Situation(
                left, device.stored_j, forecaster.now_w(now), forecaster.outlook(now, left), needs,
                accuracies, best, foresee if policy.foresees else None,
            )  # fmt: skip
            chosen = None if best is not None and waiting else policy.choose(situation)
            if chosen is None:
                passed += best is None
                break
            end = until
            if best is not None and number + 1 < len(requests):
                end = min(until, requests[number + 1])  # a new request ends a second try
            if not device.run(jobs[chosen], end):
                late[chosen] += 1
                break
            best = chosen
            if not device.wake(end):
                break
        if best is not None:
            answered[best] += 1
            total += accuracies[best]
    return Score(
        len(requests), tuple(answered), tuple(late), passed, total / len(requests),
        device.harvested_j, device.used_j, device.wasted_j, device.stored_j, device.repeated_j,
        device.boots, device.off_s,
    )  # fmt: skip
