"""What a device may expect to harvest, from what it has harvested so far.

At each decision it notes the power of the moment, and when the time of the request has passed, the
mean power that came. What came after moments of about the same power (within an octave) is what it
expects after the next such moment.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import deque
from dataclasses import dataclass, field

from evaluators.device.traces import Trace

_KEPT = 64
# As many past decisions as a device without experience trusts that the power stays as it is.
_TRUST = 2


@dataclass
class Forecaster:
    """Watches the harvested power; looks at the past of the trace alone.

    Args:
        trace: read up to the moment of each call, never beyond.
    """

    trace: Trace
    _seen: dict[int, deque[float]] = field(default_factory=dict)
    _pending: deque[tuple[float, float, int]] = field(default_factory=deque)

    def now_w(self, now_s: float) -> float:
        """The harvested power at ``now_s`` [W]."""
        return self.trace.power_w[bisect_right(self.trace.starts_s, now_s) - 1]

    def outlook(self, now_s: float, ahead_s: float) -> tuple[float, ...]:
        """Mean powers over the coming ``ahead_s`` that are equally likely [W].

        Args:
            now_s: the moment of a decision; calls must not go back in time.
            ahead_s: how far to look, above 0.
        """
        while self._pending and self._pending[0][1] <= now_s:
            start, end, octave = self._pending.popleft()
            came = self.trace.energy_j(start, end) / (end - start)
            self._seen.setdefault(octave, deque(maxlen=_KEPT)).append(came)
        now = self.now_w(now_s)
        octave = round(math.log2(max(now, 1e-9)))
        self._pending.append((now_s, now_s + ahead_s, octave))
        return (now,) * _TRUST + tuple(self._seen.get(octave, ()))
