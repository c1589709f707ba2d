"""What operators send: bytes and one-way messages, and how polynomials and pools are put together.

Bytes are those of all directions and all parties added up, online. Hops are sequential one-way
messages: messages that cross each other count once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol, Self, TypeVar

from evaluators.linear import Rate


@dataclass(frozen=True)
class Flow:
    """Traffic of one operator.

    Args:
        bytes: bytes by call, element, output, multiply-accumulate and weight entry.
        hops: sequential one-way messages per call.
        patch: bytes per entry of the unfolded input (im2col) of a convolution, whose size is
            ``output pixels * kernel^2 * input channels``; for a linear layer that of its input.
    """

    bytes: Rate = Rate()
    hops: float = 0.0
    patch: float = 0.0

    def __add__(self, other: Flow) -> Flow:
        """One after the other."""
        return Flow(self.bytes + other.bytes, self.hops + other.hops, self.patch + other.patch)

    def __mul__(self, times: float) -> Flow:
        """Side by side ``times`` times: the bytes grow, the hops do not."""
        return Flow(self.bytes * times, self.hops, self.patch * times)

    @property
    def local(self) -> bool:
        """Whether nothing is sent."""
        return self == Flow()


@dataclass(frozen=True)
class Flows:
    """What a protocol can do.

    Args:
        operators: those of ``relu``, ``square``, ``product``, ``scale``, ``affine``, ``conv``,
            ``linear``, ``avgpool``, ``globalavgpool`` and ``add`` it has. ``square`` and
            ``product`` multiply shared values, fixed-point truncation included; ``scale``
            multiplies by a public constant, ``affine`` by a secret factor per channel.
        maxpool: number of elements in the window -> flow, amounts per output element; None if the
            protocol has no max pool.
        narrow: width in bits -> a ReLU whose comparison runs in a ring of that width; None if
            the protocol has no such variant.
    """

    operators: Mapping[str, Flow] = field(default_factory=dict)
    maxpool: Callable[[int], Flow] | None = None
    narrow: Callable[[int], Flow] | None = None


def tree_of_relus(relu: Flow, window: int) -> Flow:
    """A max pool as a tree: max(a, b) = b + ReLU(a - b), ``window - 1`` ReLUs per output.

    Levels run one after the other, the ReLUs of a level side by side.
    """
    per_output = Rate(call=relu.bytes.call, output=relu.bytes.element * (window - 1))
    return Flow(per_output, relu.hops * levels(window))


def levels(window: float) -> int:
    """Levels of a binary tree over ``window`` leaves; of a circuit over so many bits."""
    return math.ceil(math.log2(window)) if window > 1 else 0


class _Adds(Protocol):
    """What can be put one after the other."""

    def __add__(self, other: Self, /) -> Self: ...


A = TypeVar("A", bound=_Adds)


def polynomials(have: Mapping[str, A]) -> dict[str, A]:
    """``poly1`` to ``poly4`` and ``x2act``, as far as the protocol has what they need.

    Coefficients are public. ``poly1`` is one multiplication by constants. From degree 2 on the
    products' own truncations serve the coefficients as well: the terms are added up at the higher
    precision, so public factors cost no further message.

    - ``poly2`` and ``x2act``: x^2.
    - ``poly3`` and ``poly4``: x^2, then ``x^2 * (c4 x^2 + c3 x + c2)``: two products in two
      rounds, since the inner sum is local.
    """
    found: dict[str, A] = {}
    if "scale" in have:
        found["poly1"] = have["scale"]
    if "square" in have:
        found["poly2"] = found["x2act"] = have["square"]
    if "square" in have and "product" in have:
        found["poly3"] = found["poly4"] = have["square"] + have["product"]
    return found
