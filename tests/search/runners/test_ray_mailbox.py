import time
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


@pytest.mark.ray
@pytest.mark.usefixtures("two_nodes")
def test_couriers_carry_events_and_the_wish_to_stop() -> None:
    with connected(RayConfig(), ListedJobs([]), []) as cluster:
        letters = Letterbox(cluster, "s")
        courier = Courier(letters.actor, 7, now=True)
        courier.hook("started", {"worker": "w"})  # mailed at once
        assert courier.mailed
        assert letters.empty() == [(7, "started", {"worker": "w"})]
        courier.hook("rung", {"rung": "a"})
        heard: list[Any] = []
        end = time.monotonic() + 60
        while not (heard and courier.stop()) and time.monotonic() < end:
            heard += letters.poll(stop=True)
            time.sleep(0.05)
        assert heard == [(7, "rung", {"rung": "a"})]
        assert courier.stop()
        for step in range(3):
            courier.hook("step", {"step": step})
        events = courier.finish() + letters.empty()
        assert sorted(data["step"] for _, _, data in events)[-1] == 2
        letters.close()


@pytest.mark.ray
@pytest.mark.usefixtures("two_nodes")
def test_a_lost_mailbox_costs_progress_and_nothing_else() -> None:
    with connected(RayConfig(), ListedJobs([]), []) as cluster:
        letters = Letterbox(cluster, "s")
        load_ray().get(letters.actor.fetch.remote(False))
        load_ray().kill(letters.actor, no_restart=True)
        courier = Courier(letters.actor, 7, now=True)
        courier.hook("started", {})
        assert not courier.mailed
        assert not courier.stop()
        assert letters.empty() == []
        assert letters.poll(stop=False) == []
        assert letters.take(7) is None
        courier.finish()
