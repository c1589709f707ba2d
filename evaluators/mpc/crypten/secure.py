"""The operations of a program on CrypTen's shared tensors; runs inside a party only.

A product of two shared tensors costs one message in each direction; sums, sums over windows,
moving elements about, and products with public numbers are local. Public coefficients are scaled
so that each has 16 significant bits, not 16 bits behind the point: X2act's factor of x^2 is often
below 2^-12, where a fixed point would keep a tenth of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from evaluators.lowered.program import Program, Step

FRACTION_BITS = 16
"""Bits behind the binary point of every shared value: CrypTen's default."""

_MOST_EXTRA_BITS = 24


@dataclass(frozen=True)
class Operands:
    """What an operation works on: shared inputs and private tensors, public ones in the clear."""

    inputs: Sequence[Any]
    private: Mapping[str, Any]
    public: Mapping[str, Tensor]
    attributes: Mapping[str, Any]


def share_private(program: Program, rank: int) -> dict[str, Any]:
    """The program's private tensors as shares; party 0 gives the values, no byte is sent.

    Args:
        program: with its private tensors if ``rank`` is 0.
        rank: of this party.
    """
    from evaluators.mpc.crypten.shim import import_crypten

    crypten = import_crypten()
    shared = {}
    for step in program.steps:
        for role, shape in step.shapes.items():
            name = f"{step.output}:{role}"
            value = nearest(program.private[name]) if rank == 0 else torch.zeros(shape)
            shared[name] = crypten.cryptensor(value, src=0)
    return shared


def nearest(value: Tensor) -> Tensor:
    """``value`` at the nearest numbers that fixed point can hold.

    CrypTen's own encoding cuts towards zero, which makes all weights a little too small: their
    errors add up instead of cancelling.
    """
    from evaluators.mpc.crypten.shim import import_crypten

    unit = 2.0 ** -import_crypten().cfg.encoder.precision_bits
    return torch.round(value.double() / unit).mul(unit).float()


def run_step(step: Step, values: Mapping[str, Any], program: Program, shared: Any) -> Any:
    """The value that ``step`` makes of ``values``; all of them shared tensors."""
    prefix = f"{step.output}:"
    public = {n[len(prefix) :]: t for n, t in program.public.items() if n.startswith(prefix)}
    private = {role: shared[prefix + role] for role in step.shapes}
    operands = Operands([values[name] for name in step.inputs], private, public, step.attributes)
    return OPERATIONS[step.operator](operands)


def _conv(o: Operands) -> Any:
    a = o.attributes
    out = o.inputs[0].conv2d(
        o.private["weight"],
        stride=tuple(a["stride"]),
        padding=tuple(a["padding"]),
        dilation=tuple(a["dilation"]),
        groups=a["groups"],
    )
    return out + o.private["bias"].view(1, -1, 1, 1)


def _linear(o: Operands) -> Any:
    return o.inputs[0].matmul(o.private["weight"]) + o.private["bias"]


def _affine(o: Operands) -> Any:
    return o.inputs[0] * o.private["factor"] + o.private["shift"]


def _add(o: Operands) -> Any:
    return o.inputs[0] + o.inputs[1]


def _relu(o: Operands) -> Any:
    return o.inputs[0].relu()


def _relu6(o: Operands) -> Any:
    return o.inputs[0].hardtanh(0, 6)


def _identity(o: Operands) -> Any:
    return o.inputs[0]


def _polynomial(o: Operands) -> Any:
    return polynomial(o.inputs[0], o.public)


def polynomial(x: Any, public: Mapping[str, Tensor]) -> Any:
    """``sum_k c_k z^k`` with ``z = scale (x - mean)``, degree 1 to 4, of a shared ``x``.

    One square up to degree 2; one product more for degrees 3 and 4, since
    ``c_4 z^4 + c_3 z^3 + c_2 z^2 = z^2 (c_4 z^2 + c_3 z + c_2)``.

    Args:
        x: shared, ``[n, ...]``.
        public: ``c`` ``[degree + 1, ...]`` whose entries broadcast to ``x``; perhaps ``mean`` and
            ``scale``.
    """
    c = public["c"]
    degree = c.shape[0] - 1
    z = x
    if "mean" in public and not (_all(public["mean"], 0.0) and _all(public["scale"], 1.0)):
        z = times(x - public["mean"].float(), public["scale"])
    linear = times(z, c[1]) + c[0].float()
    if degree == 1:
        return linear
    square = z.square()
    if degree == 2:
        return linear + times(square, c[2])
    inner = times(z, c[3]) + c[2].float()
    if degree == 4:
        inner = inner + times(square, c[4])
    return linear + square * inner


def times(x: Any, factor: Tensor) -> Any:
    """Shared ``x`` times a public ``factor``, which keeps 16 significant bits; local."""
    largest = float(factor.abs().max())
    extra = 0
    if 0.0 < largest < 1.0:
        extra = min(_MOST_EXTRA_BITS, math.floor(-math.log2(largest)))
    unit = 1 << (FRACTION_BITS + extra)
    whole = (factor.double() * unit).round().to(torch.int64)
    return _shared(_truncated(x.share * whole, unit))


def _truncated(share: Tensor, divisor: int) -> Tensor:
    """Each party divides its own share: exact up to one unit, wrong with probability |x| / 2^64.

    Source: SecureML (IEEE S&P 2017), section IV; CrypTen does the same for two parties.
    """
    return share.div(divisor, rounding_mode="trunc")


def _masked(o: Operands) -> Any:
    """One comparison for all elements kept, the polynomial for the others, then their old order."""
    flat = _local(o.inputs[0], lambda s: s.flatten(1))
    keep, rest = o.public["keep"], o.public["rest"]
    kept = _local(flat, lambda s: s[:, keep])
    kept = kept.relu() if o.attributes["kept"] == "relu" else kept.hardtanh(0, 6)
    others = _local(flat, lambda s: s[:, rest])
    if o.attributes["replacement"] != "identity":
        others = polynomial(others, o.public)
    both = torch.cat([kept.share, others.share], dim=1)[:, o.public["order"]]
    return _shared(both.reshape(-1, *o.attributes["shape"]))


def _maxpool(o: Operands) -> Any:
    a = o.attributes
    return o.inputs[0].max_pool2d(
        tuple(a["kernel"]),
        stride=tuple(a["stride"]),
        padding=tuple(a["padding"]),
        ceil_mode=a["ceil"],
    )


def _avgpool(o: Operands) -> Any:
    """Sums over windows from running sums (exact in the ring), then a public factor."""
    a = o.attributes
    sums = _window_sums(_window_sums(o.inputs[0].share, 2, a["rows"]), 3, a["columns"])
    divisors = a["divisors"]
    if isinstance(divisors, int):
        mean = _shared(_truncated(sums, divisors))
    else:
        mean = times(_shared(sums), 1.0 / torch.tensor(divisors, dtype=torch.float64))
    return _local(mean, lambda s: s.flatten(1)) if a["squeeze"] else mean


def _window_sums(share: Tensor, axis: int, spans: Sequence[Sequence[int]]) -> Tensor:
    zero = torch.zeros_like(share.narrow(axis, 0, 1))
    running = torch.cat([zero, share.cumsum(axis)], dim=axis)
    first = torch.tensor([span[0] for span in spans], device=share.device)
    last = torch.tensor([span[1] for span in spans], device=share.device)
    return running.index_select(axis, last) - running.index_select(axis, first)


def _flatten(o: Operands) -> Any:
    return _local(o.inputs[0], lambda s: s.flatten(1))


def _reshape(o: Operands) -> Any:
    return _local(o.inputs[0], lambda s: s.reshape(-1, *o.attributes["shape"]))


def _slice(o: Operands) -> Any:
    index = tuple(slice(*part) for part in o.attributes["slices"])
    return _local(o.inputs[0], lambda s: s[index])


def _pad(o: Operands) -> Any:
    return _local(o.inputs[0], lambda s: F.pad(s, tuple(o.attributes["sides"])))


def _cat(o: Operands) -> Any:
    return _shared(torch.cat([x.share for x in o.inputs], dim=o.attributes["axis"]))


def _local(x: Any, move: Callable[[Tensor], Tensor]) -> Any:
    return _shared(move(x.share))


def _shared(share: Tensor) -> Any:
    from evaluators.mpc.crypten.shim import import_crypten

    return import_crypten().mpc.MPCTensor.from_shares(share)


def _all(tensor: Tensor, value: float) -> bool:
    return bool((tensor == value).all())


OPERATIONS: Mapping[str, Callable[[Operands], Any]] = MappingProxyType(
    {
        "conv": _conv, "linear": _linear, "affine": _affine, "add": _add,
        "relu": _relu, "relu6": _relu6, "masked": _masked, "identity": _identity,
        "x2act": _polynomial, "poly1": _polynomial, "poly2": _polynomial,
        "poly3": _polynomial, "poly4": _polynomial,
        "maxpool": _maxpool, "avgpool": _avgpool, "globalavgpool": _avgpool,
        "flatten": _flatten, "reshape": _reshape, "slice": _slice, "pad": _pad, "cat": _cat,
    }
)  # fmt: skip
"""Operator of a step -> what a party does."""
