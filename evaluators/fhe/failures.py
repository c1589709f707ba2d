"""How an encrypted inference can fail: one word for each way, the same on every rung."""

from __future__ import annotations

from typing import Literal

from search.api.errors import EvaluationError

FailureKind = Literal[
    "insecure",  # more bits of modulus than the ring dimension allows
    "depth",  # fewer levels than the network needs
    "no_primes",  # no such primes exist
    "overflow",  # a value times its scale exceeds the modulus
    "scale_mismatch",  # operands of an addition, or a scale outside what the library takes
    "slots",  # a tensor larger than the back end can lay out
    "memory",  # keys, weights or the run exceed the limit
    "crash",  # the library aborted, panicked or was killed
    "timeout",  # no answer within the time limit
    "imprecise",  # an answer, but not that of the network
    "unsupported",  # the back end lacks an operation or a range of parameters
]


class BackendFailure(EvaluationError):
    """A back end did not give a usable answer. The trial fails, the study goes on.

    Args:
        kind: the way of failing.
        detail: what happened, in one sentence (got, expected; the last line a library said).
    """

    def __init__(self, kind: FailureKind, detail: str) -> None:
        self.kind, self.detail = kind, detail
        super().__init__(f"{kind}: {detail}")

    def __reduce__(self) -> tuple[type[BackendFailure], tuple[FailureKind, str]]:
        """Pickle by its arguments: failures cross processes."""
        return type(self), (self.kind, self.detail)
