import time

import pytest

from evaluators.pruning.timing import clock_of, spread, times_in_turn


def test_programs_take_turns_and_the_order_turns_around() -> None:
    called: list[str] = []
    times = times_in_turn(
        [lambda: called.append("a"), lambda: called.append("b")],
        repeats=3,
        warm_up=1,
        shortest_s=0.0,
    )
    assert "".join(called) == "aabb" + "abbaab"
    assert [len(t) for t in times] == [3, 3]
    assert all(value >= 0 for t in times for value in t)


def test_short_calls_are_timed_together() -> None:
    calls = 0

    def program() -> None:
        nonlocal calls
        calls += 1

    ticks = iter(range(1000))
    # A clock of one second a look: one call takes 1 s, so 5 s need five calls.
    (times,) = times_in_turn(
        [program], repeats=2, warm_up=0, shortest_s=5.0, now=lambda: float(next(ticks))
    )
    assert calls == 1 + 2 * 5
    assert times == [1 / 5, 1 / 5]


def test_median_and_its_interval() -> None:
    found = spread([float(v) for v in range(101)])
    assert (found.value, found.n) == (50.0, 101)
    # Ranks n/2 -+ 1.96 sqrt(n)/2 = 50.5 -+ 9.85.
    assert (found.low, found.high) == (40.0, 61.0)
    assert found.error == pytest.approx(21 / (2 * 1.959964), rel=1e-5)
    one = spread([3.0])
    assert (one.value, one.low, one.high, one.error) == (3.0, 3.0, 3.0, 0.0)
    assert spread([1.0, 9.0, 2.0]).value == 2.0


def test_clocks() -> None:
    assert clock_of("wall", 2) is time.perf_counter
    assert clock_of("cpu", 1) is time.thread_time
    assert clock_of("cpu", 2) is time.process_time
