"""Times of several programs on this host, taken in turn so that all meet the same disturbances."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal

Clock = Literal["wall", "cpu"]

# 97.5th percentile of the standard normal distribution: a two-sided 95 % interval.
_Z = 1.959963984540054


@dataclass(frozen=True)
class Spread:
    """A median with its uncertainty.

    Args:
        value: the median.
        low, high: 95 % confidence interval of the median.
        n: numbers behind it.
    """

    value: float
    low: float
    high: float
    n: int

    @property
    def error(self) -> float:
        """Standard error of the median, as the interval has it."""
        return (self.high - self.low) / (2 * _Z)


def clock_of(clock: Clock, threads: int) -> Callable[[], float]:
    """The clock [s]: ``wall``, or ``cpu`` for processor time of all threads together.

    One thread has a clock of its own, which is finer where processor time is limited.
    """
    if clock == "wall":
        return time.perf_counter
    return time.thread_time if threads == 1 else time.process_time


def spread(values: Sequence[float]) -> Spread:
    """Median of ``values`` and its 95 % interval by order statistics: no distribution is assumed.

    With fewer than six values the interval is their range.

    Args:
        values: at least one.

    Source: W. J. Conover, Practical Nonparametric Statistics (3rd ed., 1999), section 3.2, with
        the normal approximation of the ranks.
    """
    ordered, n = sorted(values), len(values)
    half = _Z * math.sqrt(n) / 2
    first = max(0, math.floor(n / 2 - half))
    last = min(n - 1, math.ceil(n / 2 + half))
    return Spread(median(ordered), ordered[first], ordered[last], n)


def times_in_turn(
    programs: Sequence[Callable[[], object]],
    *,
    repeats: int,
    warm_up: int = 3,
    shortest_s: float = 2e-3,
    now: Callable[[], float] = time.perf_counter,
) -> list[list[float]]:
    """Seconds of one call of each program, ``repeats`` times, in turn.

    Each number is the mean of as many calls as take ``shortest_s`` together, so that the clock's
    own time does not count; the order turns around with every repeat, so that a slow drift of the
    host favours none.

    Args:
        programs: what to run.
        repeats: numbers for each program.
        warm_up: calls of each that are not timed.
        shortest_s: least duration of what is timed at once [s].
        now: the clock [s], see :func:`clock_of`.

    Returns:
        a list for each program; entries at one index were taken next to each other.
    """
    calls = []
    for program in programs:
        for _ in range(warm_up):
            program()
        calls.append(max(1, math.ceil(shortest_s / max(_duration(program, 1, now), 1e-7))))
    found: list[list[float]] = [[] for _ in programs]
    for repeat in range(repeats):
        order = range(len(programs)) if repeat % 2 == 0 else reversed(range(len(programs)))
        for index in order:
            found[index].append(_duration(programs[index], calls[index], now))
    return found


def _duration(program: Callable[[], object], calls: int, now: Callable[[], float]) -> float:
    began = now()
    for _ in range(calls):
        program()
    return (now() - began) / calls
