"""What operations cost while layouts are compared: times by limbs, looked up and not computed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from evaluators.fhe.circuit import Operation
    from evaluators.fhe.costs import OperationTimes


@dataclass(eq=False)
class Prices:
    """Times at one ring dimension.

    Args:
        times: of the library and the host.
        log_n: log2 of the ring dimension.
        special: primes for key switching.
        limbs: the most that are asked for.
    """

    times: OperationTimes
    log_n: int
    special: int
    limbs: int
    _known: dict[Operation, np.ndarray] = field(default_factory=dict)

    def __call__(self, operation: Operation, limbs: int) -> float:
        """Time of one ``operation`` on ciphertexts of ``limbs`` limbs, in ms."""
        if operation not in self._known:
            at = np.arange(self.limbs + 1)
            self._known[operation] = self.times.milliseconds(
                operation, self.log_n, at, self.special
            )
        return float(self._known[operation][limbs])
