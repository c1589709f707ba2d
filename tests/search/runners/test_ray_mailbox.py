import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from search.runners.ray_cluster import RayConfig, connected, load_ray
from search.runners.ray_mailbox import Courier, Letterbox, Mailbox
from search.testing.jobs import ListedJobs


def test_a_mailbox_keeps_events_until_they_are_fetched() -> None:
    box = Mailbox("s")
    assert box.exchange([(1, "rung", {})]) is False
    assert box.exchange([(2, "rung", {})]) is False
    assert box.fetch(stop=True) == [(1, "rung", {}), (2, "rung", {})]
    assert box.fetch(stop=True) == []
    assert box.exchange([]) is True
    box.leave(3, "reply")
    assert (box.take(3), box.take(3)) == ("reply", None)
    assert repr(box) == "progress of s"


@pytest.fixture
def letters(two_nodes: Any) -> Iterator[Letterbox]:
    with connected(RayConfig(), ListedJobs([]), []) as cluster:
        made = Letterbox(cluster, "s")
        load_ray().get(made.actor.leave.remote(99, "mark"))  # it is up
        yield made
        made.close()


@pytest.fixture
def courier(letters: Letterbox) -> Iterator[Courier]:
    made = Courier(letters.actor, 7, now=True)
    yield made
    made.finish()


def _until(done: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not done() and time.monotonic() < end:
        time.sleep(0.05)


def _remembers(letters: Letterbox) -> bool:
    """Whether the actor still has what was left with it at its start."""
    if letters.take(99) is None:  # as well while it is dead
        return False
    letters.actor.leave.remote(99, "mark")  # it may die now: the next look tells
    return True


@pytest.mark.ray
def test_couriers_carry_events_and_the_wish_to_stop(letters: Letterbox, courier: Courier) -> None:
    courier.hook("started", {"worker": "w"})  # mailed at once
    assert courier.mailed
    assert letters.empty() == [(7, "started", {"worker": "w"})]
    courier.hook("rung", {"rung": "a"})
    heard: list[Any] = []

    def both() -> bool:
        heard.extend(letters.poll(stop=True))
        return bool(heard) and courier.stop()

    _until(both)
    assert heard == [(7, "rung", {"rung": "a"})]
    assert courier.stop()
    for step in range(3):
        courier.hook("step", {"step": step})
    events = courier.finish() + letters.empty()
    assert sorted(data["step"] for _, _, data in events)[-1] == 2


@pytest.mark.ray
def test_without_a_mailbox_events_come_with_the_outcome(
    letters: Letterbox, courier: Courier
) -> None:
    load_ray().kill(letters.actor, no_restart=True)
    _until(lambda: not _remembers(letters))
    courier.hook("started", {})
    assert not courier.stop()
    assert letters.empty() == []
    assert letters.poll(stop=False) == []
    assert letters.take(7) is None
    assert courier.finish() == [(7, "started", {})]


@pytest.mark.ray
def test_a_mailbox_that_is_restarted_goes_on(letters: Letterbox, courier: Courier) -> None:
    load_ray().kill(letters.actor, no_restart=False)
    _until(lambda: not _remembers(letters))
    courier.hook("started", {})
    heard: list[Any] = []

    def arrived() -> bool:
        heard.extend(letters.poll(stop=False))
        return bool(heard)

    _until(arrived)
    assert heard == [(7, "started", {})]
