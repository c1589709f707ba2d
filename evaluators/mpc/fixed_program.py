"""A lowered network in the fixed-point arithmetic of two parties, without the parties.

The same steps, scales and truncations as the real run has, on plain integers; thousands of images
in seconds, in rings and with comparisons that no installed backend offers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from evaluators.lowered.program import Program, Step
from evaluators.mpc.ring import Ring
from search.api.errors import EvaluationError

_MOST_EXTRA_BITS = 24  # as the real run has it, see evaluators.mpc.crypten.secure


@dataclass
class FixedProgram:
    """Runs a program in a ring.

    Args:
        program: see :func:`evaluators.lowered.lower.lower`.
        ring: the arithmetic; counts overflows.
        windows: site -> ``(low, width)``, the bits its comparison looks at; absent: all.
        device: where to run.
    """

    program: Program
    ring: Ring
    windows: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    device: torch.device | str = "cpu"

    def __post_init__(self) -> None:
        self.compared: dict[str, int] = {}
        """Site -> largest absolute value (in units of 2^-f) compared there so far."""
        self._public = {name: t.to(self.device) for name, t in self.program.public.items()}
        self._private = {
            name: self.ring.encode(t.to(self.device), rounded=True)
            for name, t in self.program.private.items()
        }
        last: dict[str, str] = {}
        for step in self.program.steps:
            last.update(dict.fromkeys(step.inputs, step.output))
        self._last = {name: user for name, user in last.items() if name != self.program.output}

    def run(self, x: Tensor) -> Tensor:
        """Outputs of ``x [n, *input_shape]`` (real numbers), decoded to double.

        Raises:
            EvaluationError: a step is unknown.
        """
        values = {"x": self.ring.encode(x.to(self.device), rounded=True)}
        for step in self.program.steps:
            if step.operator not in _OPERATIONS:
                raise EvaluationError(f"{step.site}: no fixed-point form of {step.operator!r}")
            values[step.output] = _OPERATIONS[step.operator](self._operands(step, values))
            for name in set(step.inputs):
                if self._last.get(name) == step.output:
                    del values[name]
        return self.ring.decode(values[self.program.output])

    def relu(self, x: Tensor, site: str) -> Tensor:
        """``x`` where the comparison at ``site`` finds it not negative, else 0."""
        low, high = (int(v) for v in torch.aminmax(x)) if x.numel() else (0, 0)
        self.compared[site] = max(self.compared.get(site, 0), -low, high)
        return x.masked_fill(self.ring.negative(x, self.windows.get(site)), 0)

    def _operands(self, step: Step, values: Mapping[str, Tensor]) -> _Operands:
        prefix = f"{step.output}:"
        public = {n[len(prefix) :]: t for n, t in self._public.items() if n.startswith(prefix)}
        private = {role: self._private[prefix + role] for role in step.shapes}
        inputs = [values[name] for name in step.inputs]
        return _Operands(self, step.site, inputs, private, public, step.attributes)


@dataclass(frozen=True)
class _Operands:
    """What a step works on."""

    machine: FixedProgram
    site: str
    inputs: Sequence[Tensor]
    private: Mapping[str, Tensor]
    public: Mapping[str, Tensor]
    attributes: Mapping[str, Any]

    @property
    def ring(self) -> Ring:
        return self.machine.ring


def _conv(o: _Operands) -> Tensor:
    a = o.attributes

    def apply(x: Tensor, w: Tensor) -> Tensor:
        return F.conv2d(
            x, w, None, tuple(a["stride"]), tuple(a["padding"]), tuple(a["dilation"]), a["groups"]
        )

    product = o.ring.truncate(o.ring.linear(apply, o.inputs[0], o.private["weight"]))
    return o.ring.add(product, o.private["bias"].view(1, -1, 1, 1))


def _linear(o: _Operands) -> Tensor:
    rows = o.private["weight"].T.contiguous()
    product = o.ring.linear(lambda x, w: x @ w.T, o.inputs[0], rows)
    return o.ring.add(o.ring.truncate(product), o.private["bias"])


def _affine(o: _Operands) -> Tensor:
    product = o.ring.truncate(o.ring.times(o.inputs[0], o.private["factor"]))
    return o.ring.add(product, o.private["shift"])


def _add(o: _Operands) -> Tensor:
    return o.ring.add(o.inputs[0], o.inputs[1])


def _relu(o: _Operands) -> Tensor:
    return o.machine.relu(o.inputs[0], o.site)


def _relu6(o: _Operands) -> Tensor:
    return _capped(o, o.inputs[0])


def _capped(o: _Operands, x: Tensor) -> Tensor:
    """``relu(x) - relu(x - 6)``."""
    six = torch.full_like(x, 6 << o.ring.fraction_bits)
    above = o.machine.relu(o.ring.add(x, -six), o.site)
    return o.ring.add(o.machine.relu(x, o.site), -above)


def _polynomial(o: _Operands) -> Tensor:
    return _polynomial_of(o.ring, o.inputs[0], o.public)


def _polynomial_of(ring: Ring, x: Tensor, public: Mapping[str, Tensor]) -> Tensor:
    """``sum_k c_k z^k`` with ``z = scale (x - mean)``, in the order of the real run."""
    c = public["c"]
    degree = c.shape[0] - 1
    z = x
    if "mean" in public and not (_all(public["mean"], 0.0) and _all(public["scale"], 1.0)):
        z = _times(ring, ring.add(x, -ring.encode(public["mean"])), public["scale"])
    linear = ring.add(_times(ring, z, c[1]), ring.encode(c[0]))
    if degree == 1:
        return linear
    square = ring.truncate(ring.times(z, z))
    if degree == 2:
        return ring.add(linear, _times(ring, square, c[2]))
    inner = ring.add(_times(ring, z, c[3]), ring.encode(c[2]))
    if degree == 4:
        inner = ring.add(inner, _times(ring, square, c[4]))
    return ring.add(linear, ring.truncate(ring.times(square, inner)))


def _times(ring: Ring, x: Tensor, factor: Tensor) -> Tensor:
    """``x`` times a public ``factor``, small ones with more bits behind the point."""
    largest = float(factor.abs().max())
    extra = 0
    if 0.0 < largest < 1.0:
        extra = min(_MOST_EXTRA_BITS, math.floor(-math.log2(largest)))
    whole = ring.encode(factor, extra_bits=extra, rounded=True)
    return ring.truncate(ring.times(x, whole), 1 << (ring.fraction_bits + extra))


def _masked(o: _Operands) -> Tensor:
    flat = o.inputs[0].flatten(1)
    kept = flat[:, o.public["keep"]]
    relu = o.attributes["kept"] == "relu"
    kept = o.machine.relu(kept, o.site) if relu else _capped(o, kept)
    others = flat[:, o.public["rest"]]
    if o.attributes["replacement"] != "identity":
        others = _polynomial_of(o.ring, others, o.public)
    both = torch.cat([kept, others], dim=1)[:, o.public["order"]]
    return both.reshape(-1, *o.attributes["shape"])


def _identity(o: _Operands) -> Tensor:
    return o.inputs[0]


def _maxpool(o: _Operands) -> Tensor:
    # Comparisons alone, so doubles are exact for all that a ring of 53 bits holds.
    a = o.attributes
    found = F.max_pool2d(
        o.inputs[0].double(),
        tuple(a["kernel"]),
        tuple(a["stride"]),
        tuple(a["padding"]),
        ceil_mode=a["ceil"],
    )
    return found.to(torch.int64)


def _avgpool(o: _Operands) -> Tensor:
    a = o.attributes
    sums = _window_sums(_window_sums(o.inputs[0], 2, a["rows"]), 3, a["columns"])
    divisors = a["divisors"]
    if isinstance(divisors, int):
        mean = o.ring.truncate(sums, divisors)
    else:
        factor = 1.0 / torch.tensor(divisors, dtype=torch.float64, device=sums.device)
        mean = _times(o.ring, sums, factor)
    return mean.flatten(1) if a["squeeze"] else mean


def _window_sums(x: Tensor, axis: int, spans: Sequence[Sequence[int]]) -> Tensor:
    return torch.stack([x.narrow(axis, a, b - a).sum(axis) for a, b in spans], dim=axis)


def _flatten(o: _Operands) -> Tensor:
    return o.inputs[0].flatten(1)


def _reshape(o: _Operands) -> Tensor:
    return o.inputs[0].reshape(-1, *o.attributes["shape"])


def _slice(o: _Operands) -> Tensor:
    return o.inputs[0][tuple(slice(*part) for part in o.attributes["slices"])]


def _pad(o: _Operands) -> Tensor:
    return F.pad(o.inputs[0], tuple(o.attributes["sides"]))


def _cat(o: _Operands) -> Tensor:
    return torch.cat(list(o.inputs), dim=o.attributes["axis"])


def _all(tensor: Tensor, value: float) -> bool:
    return bool((tensor == value).all())


_OPERATIONS: Mapping[str, Callable[[_Operands], Tensor]] = MappingProxyType(
    {
        "conv": _conv, "linear": _linear, "affine": _affine, "add": _add,
        "relu": _relu, "relu6": _relu6, "masked": _masked, "identity": _identity,
        "x2act": _polynomial, "poly1": _polynomial, "poly2": _polynomial,
        "poly3": _polynomial, "poly4": _polynomial,
        "maxpool": _maxpool, "avgpool": _avgpool, "globalavgpool": _avgpool,
        "flatten": _flatten, "reshape": _reshape, "slice": _slice, "pad": _pad, "cat": _cat,
    }
)  # fmt: skip
