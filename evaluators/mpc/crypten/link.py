"""The link between the two parties, slowed down on request.

CrypTen's collectives are the only way out of a party, so wrapping them sees every message. The
kernel may be unable to delay packets, hence a slower link is played by waiting after each
collective: half a round trip, and its bytes at the bandwidth, which both directions share as in the
cost models. Both parties wait alike, so the time is what a link with these figures would add if
computing and sending do not overlap.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from evaluators.mpc.networks import Network

_SPIN_S = 2e-4  # the last bit of a wait is spun: sleeping overshoots by about a tenth of this
_COLLECTIVES = ("all_reduce", "reduce", "broadcast", "gather", "all_gather", "send", "recv")


def is_slowed(network: Network | None) -> bool:
    """Whether ``network`` adds anything to what loopback takes."""
    return network is not None and (exchange_seconds(network, 1e12) > 0)


def exchange_seconds(network: Network, count: float) -> float:
    """How long one exchange of ``count`` bytes (of both directions) takes on ``network``."""
    return network.one_way + count / network.bandwidth


@contextmanager
def slowed(communicator: Any, network: Network | None) -> Iterator[None]:
    """Let each collective of ``communicator`` take as much longer as ``network`` is slow."""
    if network is None or not is_slowed(network):
        yield
        return
    originals = {name: getattr(communicator, name) for name in _COLLECTIVES}
    for name, original in originals.items():
        setattr(communicator, name, _waiting(communicator, original, network))
    try:
        yield
    finally:
        for name in originals:
            delattr(communicator, name)


def _waiting(
    communicator: Any, original: Callable[..., Any], network: Network
) -> Callable[..., Any]:
    @functools.wraps(original)
    def call(*args: Any, **kwargs: Any) -> Any:
        before = communicator.comm_bytes
        result = original(*args, **kwargs)
        _wait(exchange_seconds(network, communicator.comm_bytes - before))
        return result

    return call


def _wait(seconds: float) -> None:
    end = time.perf_counter() + seconds
    if seconds > _SPIN_S:
        time.sleep(seconds - _SPIN_S)
    while time.perf_counter() < end:
        pass
