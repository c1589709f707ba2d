import math
import time
from typing import Any

import pytest

from evaluators.mpc.crypten.link import exchange_seconds, is_slowed, slowed
from evaluators.mpc.networks import Network, find_network


class Counting:
    """A communicator that counts bytes as CrypTen's does."""

    comm_bytes = 0

    def all_reduce(self, count: int) -> str:
        self.comm_bytes += count
        return "sum"

    def nothing(self, *args: Any) -> None:
        """Never called."""

    reduce = broadcast = gather = all_gather = send = recv = nothing


def test_seconds_of_an_exchange() -> None:
    network = Network("x", bandwidth=1e6, round_trip=0.02)
    assert exchange_seconds(network, 5000) == pytest.approx(0.01 + 0.005)
    assert exchange_seconds(Network("x", math.inf, 0.02), 5000) == 0.01


def test_loopback_is_not_slowed() -> None:
    assert not is_slowed(None)
    assert not is_slowed(find_network("loopback"))
    assert is_slowed(find_network("lan"))


def test_each_exchange_waits_for_its_bytes_and_the_delay() -> None:
    link = Counting()
    with slowed(link, Network("x", 1e6, 0.01)):
        began = time.perf_counter()
        assert link.all_reduce(20_000) == "sum"
        assert link.all_reduce(0) == "sum"
        took = time.perf_counter() - began
    assert 0.030 <= took < 0.1
    began = time.perf_counter()
    link.all_reduce(20_000)
    assert time.perf_counter() - began < 0.005
    assert link.comm_bytes == 40_000
