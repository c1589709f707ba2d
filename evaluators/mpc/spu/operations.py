"""The operations of a program in JAX, to be compiled for SPU; run by SPU's interpreter only.

Products of two secret tensors and comparisons cost messages; so does a product with a public
number, since SPU rounds its result between the parties. Public numbers come in as inputs, not as
constants: the compiler would multiply constants among each other first, in few bits.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

_DIMENSIONS = ("NCHW", "OIHW", "NCHW")
_MOST_EXTRA_BITS = 24


def public_inputs(
    steps: Sequence[Mapping[str, Any]], public: Mapping[str, Any], fraction_bits: int
) -> dict[str, dict[str, Any]]:
    """Output of a step -> role -> what :func:`evaluate` needs in the clear.

    Args:
        steps: of the program's JSON.
        public: ``<output>:<role>`` -> array.
        fraction_bits: bits behind the point.
    """
    found: dict[str, dict[str, Any]] = {}
    for step in steps:
        prefix = step["output"] + ":"
        own = {n[len(prefix) :]: a for n, a in public.items() if n.startswith(prefix)}
        roles: dict[str, Any] = {}
        if "c" in own:
            roles["shift"] = np.float32(own["c"][0])
            roles["c"] = tuple(factors(c, fraction_bits) for c in own["c"][1:])
        if "mean" in own and np.any(own["mean"]):
            roles["mean"] = np.float32(own["mean"])
        if "scale" in own:
            roles["scale"] = factors(own["scale"], fraction_bits)
        if "divisors" in step["attributes"]:
            roles["inverse"] = factors(
                1.0 / np.float64(step["attributes"]["divisors"]), fraction_bits
            )
        found[step["output"]] = roles
    return found


def factors(value: Any, fraction_bits: int) -> tuple[Any, ...]:
    """Arrays whose product is ``value``, each with enough bits behind the point; none for ones.

    X2act's factor of x^2 is often below 2^-12, of which a fixed point would keep little: the first
    array is scaled up, the others are powers of two that undo it.
    """
    value = np.float64(value)
    if np.all(value == 1.0):
        return ()
    largest = float(np.abs(value).max())
    least = min(10, fraction_bits - 2)  # significant bits the largest entry keeps
    extra = 0
    if largest > 0.0:
        extra = min(
            _MOST_EXTRA_BITS, max(0, math.ceil(-math.log2(largest)) + least - fraction_bits)
        )
    parts = [np.float32(value * 2.0**extra)]
    while extra:
        step = min(extra, fraction_bits - 2)
        parts.append(np.float32(2.0**-step))
        extra -= step
    return tuple(parts)


def evaluate(
    steps: Sequence[Mapping[str, Any]],
    output: str,
    indices: Mapping[str, Any],
    x: Any,
    private: Mapping[str, Any],
    public: Mapping[str, Any],
) -> Any:
    """The network's output ``[n, classes]``.

    Args:
        steps: of the program's JSON.
        output: name of the value that is the result.
        indices: ``<output>:<role>`` -> constant array of element numbers, for masked sites.
        x: ``[n, *input_shape]``.
        private: ``<output>:<role>`` -> weights.
        public: see :func:`public_inputs`.
    """
    values = {"x": x}
    for step in steps:
        name = step["output"]
        own = {role: private[f"{name}:{role}"] for role in step["shapes"]}
        own |= public[name]
        own |= {
            r: indices[f"{name}:{r}"] for r in ("keep", "rest", "order") if f"{name}:{r}" in indices
        }
        inputs = [values[source] for source in step["inputs"]]
        values[name] = OPERATIONS[step["operator"]](inputs, own, step["attributes"])
    return values[output]


def _conv(inputs: Sequence[Any], own: Mapping[str, Any], a: Mapping[str, Any]) -> Any:
    out = jax.lax.conv_general_dilated(
        inputs[0],
        _dense(own["weight"], a["groups"]),
        tuple(a["stride"]),
        [(side, side) for side in a["padding"]],
        rhs_dilation=tuple(a["dilation"]),
        dimension_numbers=_DIMENSIONS,
    )
    return out + own["bias"].reshape(1, -1, 1, 1)


def _dense(weight: Any, groups: int) -> Any:
    """The weights of a grouped convolution as those of a whole one, which is all that SPU has."""
    if groups == 1:
        return weight
    width = weight.shape[1]
    parts = [
        jnp.pad(part, ((0, 0), (i * width, (groups - 1 - i) * width), (0, 0), (0, 0)))
        for i, part in enumerate(jnp.split(weight, groups, axis=0))
    ]
    return jnp.concatenate(parts, axis=0)


def _linear(inputs: Sequence[Any], own: Mapping[str, Any], a: Mapping[str, Any]) -> Any:
    return inputs[0] @ own["weight"] + own["bias"]


def _affine(inputs: Sequence[Any], own: Mapping[str, Any], a: Mapping[str, Any]) -> Any:
    return inputs[0] * own["factor"] + own["shift"]


def _add(inputs: Sequence[Any], own: Mapping[str, Any], a: Mapping[str, Any]) -> Any:
    return inputs[0] + inputs[1]


def _identity(inputs: Sequence[Any], own: Mapping[str, Any], a: Mapping[str, Any]) -> Any:
    return inputs[0]


def _relu(inputs: Sequence[Any], own: Mapping[str, Any], a: Mapping[str, Any]) -> Any:
    return jnp.maximum(inputs[0], 0.0)


def _relu6(inputs: Sequence[Any], own: Mapping[str, Any], a: Mapping[str, Any]) -> Any:
    return jnp.minimum(jnp.maximum(inputs[0], 0.0), 6.0)


def _times(x: Any, parts: Sequence[Any]) -> Any:
    return functools.reduce(lambda product, part: product * part, parts, x)


def _polynomial(inputs: Sequence[Any], own: Mapping[str, Any], a: Mapping[str, Any]) -> Any:
    """``sum_k c_k z^k`` with ``z = scale (x - mean)``: one product, two above degree 2."""
    z = inputs[0] - own["mean"] if "mean" in own else inputs[0]
    z = _times(z, own.get("scale", ()))
    c = own["c"]
    if len(c) == 1:
        return _times(z, c[0]) + own["shift"]
    if len(c) == 2:
        return z * (_times(z, c[1]) + _product(c[0])) + own["shift"]
    low, square = _times(z, c[0]) + own["shift"], z * z
    if len(c) == 3:
        return low + square * (_times(z, c[2]) + _product(c[1]))
    return low + square * (_times(square, c[3]) + _times(z, c[2]) + _product(c[1]))


def _product(parts: Sequence[Any]) -> Any:
    """A public factor, as a summand: a product of public numbers needs no message."""
    return functools.reduce(lambda product, part: product * part, parts, jnp.float32(1.0))


def _masked(inputs: Sequence[Any], own: Mapping[str, Any], a: Mapping[str, Any]) -> Any:
    """One comparison for all elements kept, the polynomial for the others, then their old order."""
    flat = inputs[0].reshape(inputs[0].shape[0], -1)
    kept = OPERATIONS[a["kept"]]([flat[:, own["keep"]]], {}, {})
    rest = OPERATIONS[a["replacement"]]([flat[:, own["rest"]]], own, {})
    both = jnp.concatenate([kept, rest], axis=1)[:, own["order"]]
    return both.reshape(-1, *a["shape"])


def _maxpool(inputs: Sequence[Any], own: Mapping[str, Any], a: Mapping[str, Any]) -> Any:
    """Maxima over rows, then over columns, each a tree of comparisons side by side.

    Places in the padding repeat an element of the same window.
    """
    x = inputs[0]
    for axis, kernel, stride, padding in zip(
        (2, 3), a["kernel"], a["stride"], a["padding"], strict=True
    ):
        spans = _windows(x.shape[axis], kernel, stride, padding, a["ceil"])
        width = max(last - first for first, last in spans)
        places = [[min(first + d, last - 1) for first, last in spans] for d in range(width)]
        parts = [_along(x, axis, where) for where in places]
        while len(parts) > 1:
            half = len(parts) // 2
            stacked = jnp.maximum(
                jnp.concatenate(parts[:half], axis=0),
                jnp.concatenate(parts[half : 2 * half], axis=0),
            )
            parts = [*jnp.split(stacked, half, axis=0), *parts[2 * half :]]
        x = parts[0]
    return x


def _windows(
    size: int, kernel: int, stride: int, padding: int, ceil: bool
) -> list[tuple[int, int]]:
    """First and last + 1 input index of each output of a pool, parts in the padding left out."""
    count = (math.ceil if ceil else math.floor)((size + 2 * padding - kernel) / stride) + 1
    if ceil and (count - 1) * stride >= size + padding:
        count -= 1  # a window may not begin in the padding behind the map
    starts = [i * stride - padding for i in range(count)]
    return [(max(0, s), min(size, s + kernel)) for s in starts]


def _along(x: Any, axis: int, places: list[int]) -> Any:
    step = places[1] - places[0] if len(places) > 1 else 1
    if step > 0 and places == list(range(places[0], places[-1] + 1, step)):
        return jax.lax.slice_in_dim(x, places[0], places[-1] + 1, step, axis)
    return jnp.take(x, np.array(places), axis=axis)


def _avgpool(inputs: Sequence[Any], own: Mapping[str, Any], a: Mapping[str, Any]) -> Any:
    x = inputs[0]
    for axis, spans in ((2, a["rows"]), (3, a["columns"])):
        sums = [
            jax.lax.slice_in_dim(x, *span, axis=axis).sum(axis, keepdims=True) for span in spans
        ]
        x = sums[0] if len(sums) == 1 else jnp.concatenate(sums, axis=axis)
    x = _times(x, own["inverse"])
    return x.reshape(x.shape[0], -1) if a["squeeze"] else x


def _flatten(inputs: Sequence[Any], own: Mapping[str, Any], a: Mapping[str, Any]) -> Any:
    return inputs[0].reshape(inputs[0].shape[0], -1)


def _reshape(inputs: Sequence[Any], own: Mapping[str, Any], a: Mapping[str, Any]) -> Any:
    return inputs[0].reshape(-1, *a["shape"])


def _slice(inputs: Sequence[Any], own: Mapping[str, Any], a: Mapping[str, Any]) -> Any:
    return inputs[0][tuple(slice(*part) for part in a["slices"])]


def _pad(inputs: Sequence[Any], own: Mapping[str, Any], a: Mapping[str, Any]) -> Any:
    """Sides come from the last axis to the first."""
    x, sides = inputs[0], a["sides"]
    pairs = [tuple(sides[i : i + 2]) for i in range(0, len(sides), 2)]
    return jnp.pad(x, [(0, 0)] * (x.ndim - len(pairs)) + pairs[::-1])


def _cat(inputs: Sequence[Any], own: Mapping[str, Any], a: Mapping[str, Any]) -> Any:
    return jnp.concatenate(inputs, axis=a["axis"])


OPERATIONS: Mapping[str, Callable[..., Any]] = {
    "conv": _conv, "linear": _linear, "affine": _affine, "add": _add,
    "relu": _relu, "relu6": _relu6, "masked": _masked, "identity": _identity,
    "x2act": _polynomial, "poly1": _polynomial, "poly2": _polynomial,
    "poly3": _polynomial, "poly4": _polynomial,
    "maxpool": _maxpool, "avgpool": _avgpool, "globalavgpool": _avgpool,
    "flatten": _flatten, "reshape": _reshape, "slice": _slice, "pad": _pad, "cat": _cat,
}  # fmt: skip
