"""A network as Orion's compiler takes it: layers in a row, with their weights.

Batch normalisation is folded beforehand. A polynomial of degree 2 becomes a square: what completes
it moves into the layers around it, as on our own engine, so that both compute the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from evaluators.fhe.failures import BackendFailure
from spaces.ckks.params import ActivationChoice

if TYPE_CHECKING:
    from torch import nn

    from evaluators.lowered.program import Program, Step


@dataclass(frozen=True)
class Layers:
    """Layers in the order of evaluation.

    Args:
        input_shape: of one sample.
        layers: JSON data of each: ``kind`` (``conv``, ``linear``, ``square``, ``flatten``),
            ``name``, and what its constructor needs.
        weights: ``<name>.weight`` and ``<name>.bias`` of convolutions and linear layers, float64.
    """

    input_shape: tuple[int, ...]
    layers: tuple[dict[str, Any], ...]
    weights: dict[str, np.ndarray] = field(default_factory=dict)


def layers_of(
    network: nn.Module,
    input_shape: tuple[int, ...],
    activations: Callable[[str], ActivationChoice] = ActivationChoice,
) -> Layers:
    """``network`` as layers in a row.

    Args:
        network: a ``torch.nn.Module``; its evaluation mode counts.
        input_shape: of one sample, without the batch axis.
        activations: site -> what stands there; only ``own`` and ``square`` are known here.

    Raises:
        BackendFailure: kind ``unsupported``: a branch, or a layer that is not passed on to Orion;
            names the site.
    """
    import torch

    from evaluators.fhe.chebyshev import FUNCTIONS
    from evaluators.lowered.lower import lower

    program = lower(network, input_shape, functions=frozenset(FUNCTIONS), dtype=torch.float64)
    return _Export(program, activations).layers()


class _Export:
    """One walk over the steps; keeps what the next layer must take over from a square before it."""

    def __init__(self, program: Program, activations: Callable[[str], ActivationChoice]) -> None:
        self._program, self._choose = program, activations
        self._layers: list[dict[str, Any]] = []
        self._weights: dict[str, np.ndarray] = {}
        self._shape = tuple(program.input_shape)
        # true value = scale * value + shift, per channel (or per element once it is flat)
        self._scale, self._shift = np.ones(1), np.zeros(1)

    def layers(self) -> Layers:
        value = "x"
        for step in self._program.steps:
            if step.inputs != (value,):
                raise _unsupported(step, "a branch")
            self._step(step)
            value = step.output
        if self._program.output != value:
            raise BackendFailure("unsupported", "the network's result is not its last value")
        self._finish()
        return Layers(tuple(self._program.input_shape), tuple(self._layers), self._weights)

    def _step(self, step: Step) -> None:
        if step.operator == "identity":
            return
        if step.operator == "conv":
            self._convolution(step)
        elif step.operator == "linear":
            self._linear(step)
        elif step.operator in ("flatten", "reshape"):
            self._flatten(step)
        elif step.operator == "x2act" or step.operator.startswith("poly"):
            self._polynomial(step)
        elif self._choose(step.site).kind == "square":
            self._square(step, np.ones(1), np.zeros(1), np.zeros(1))
        else:
            raise _unsupported(step, step.operator)

    def _convolution(self, step: Step) -> None:
        weight, bias = self._tensor(step, "weight"), self._tensor(step, "bias")
        attributes = {key: step.attributes[key] for key in ("stride", "padding", "dilation")}
        groups = int(step.attributes["groups"])
        scale = np.broadcast_to(self._scale, (self._shape[0],)).reshape(groups, -1)
        shift = np.broadcast_to(self._shift, (self._shape[0],)).reshape(groups, -1)
        if shift.any() and any(step.attributes["padding"]):
            raise _unsupported(step, "a padded convolution of a polynomial with a constant")
        split = weight.reshape(groups, -1, *weight.shape[1:])
        bias = bias + np.einsum("goikl,gi->go", split, shift).reshape(-1)
        scaled = (split * scale[:, None, :, None, None]).reshape(weight.shape)
        kernel = weight.shape[2:]
        sides = [
            (n + 2 * p - d * (k - 1) - 1) // s + 1
            for n, k, s, p, d in zip(self._shape[1:], kernel, *attributes.values(), strict=True)
        ]
        shape = {"inputs": self._shape[0], "outputs": len(weight), "kernel": list(kernel)}
        self._keep(step, {"kind": "conv", "groups": groups, **shape, **attributes}, scaled, bias)
        self._shape = (len(weight), *sides)

    def _linear(self, step: Step) -> None:
        weight, bias = self._tensor(step, "weight").T, self._tensor(step, "bias")
        scale = np.broadcast_to(self._scale, (weight.shape[1],))
        shift = np.broadcast_to(self._shift, (weight.shape[1],))
        shape = {"inputs": weight.shape[1], "outputs": weight.shape[0]}
        self._keep(step, {"kind": "linear", **shape}, weight * scale, bias + weight @ shift)
        self._shape = (weight.shape[0],)

    def _keep(
        self, step: Step, layer: dict[str, Any], weight: np.ndarray, bias: np.ndarray
    ) -> None:
        name = f"layer{len(self._layers)}"
        self._layers.append({"name": name, "site": step.site, **layer})
        self._weights[f"{name}.weight"] = np.ascontiguousarray(weight)
        self._weights[f"{name}.bias"] = np.asarray(bias)
        self._scale, self._shift = np.ones(1), np.zeros(1)

    def _flatten(self, step: Step) -> None:
        count = math.prod(self._shape)
        if step.operator == "reshape" and tuple(step.attributes["shape"]) != (count,):
            raise _unsupported(step, "a reshape other than flatten")
        each = count // self._shape[0]
        self._scale, self._shift = (
            v if v.size == 1 else np.repeat(v, each) for v in (self._scale, self._shift)
        )
        if len(self._shape) > 1 or not self._layers:
            self._layers.append({"name": f"layer{len(self._layers)}", "kind": "flatten"})
        self._shape = (count,)

    def _polynomial(self, step: Step) -> None:
        choice = self._choose(step.site)
        if choice.kind not in ("own", "square"):
            raise _unsupported(step, f"{choice.kind} in place of a polynomial")
        rows = [self._per_channel(step, row) for row in self._tensor(step, "c")]
        if len(rows) > 3:
            raise _unsupported(step, f"a polynomial of degree {len(rows) - 1}")
        c0, c1, c2 = (*rows, np.zeros(1), np.zeros(1))[:3]
        scale = self._per_channel(step, self._tensor(step, "scale", 1.0))
        mean = self._per_channel(step, self._tensor(step, "mean", 0.0))
        square, slope = c2 * scale**2, c1 * scale - 2.0 * c2 * scale**2 * mean
        offset = c0 - c1 * scale * mean + c2 * (scale * mean) ** 2
        self._square(step, square, slope, offset)

    def _square(
        self, step: Step, square: np.ndarray, slope: np.ndarray, offset: np.ndarray
    ) -> None:
        """``square x^2 + slope x + offset``, on true values x."""
        if not square.all():
            raise _unsupported(step, "a polynomial without its square")
        half = slope / (2.0 * square)
        before = half + self._shift
        if before.any() or (self._scale != 1.0).any():
            self._into_layer_before(step, before)
        self._layers.append(
            {"name": f"layer{len(self._layers)}", "kind": "square", "site": step.site}
        )
        self._scale, self._shift = square, offset - square * half**2

    def _into_layer_before(self, step: Step, shift: np.ndarray) -> None:
        last = self._layers[-1]["name"] if self._layers else ""
        if f"{last}.bias" not in self._weights or (self._scale != 1.0).any():
            raise _unsupported(step, "a polynomial with a linear term and no layer right before")
        self._weights[f"{last}.bias"] = self._weights[f"{last}.bias"] + shift

    def _finish(self) -> None:
        """What is left over goes into the last layer, which has no square behind it."""
        if self._shift.any() or (self._scale != 1.0).any():
            raise BackendFailure("unsupported", "Orion: the network ends with a polynomial")

    def _per_channel(self, step: Step, values: np.ndarray) -> np.ndarray:
        flat = values.reshape(-1)
        if flat.size not in (1, self._shape[0]):
            raise _unsupported(step, "a polynomial that differs within a channel")
        return flat

    def _tensor(self, step: Step, role: str, default: float | None = None) -> np.ndarray:
        name = f"{step.output}:{role}"
        for part in (self._program.private, self._program.public):
            if name in part:
                return np.asarray(part[name].double().numpy())
        if default is None:
            raise _unsupported(step, f"{step.operator} without its {role}")
        return np.array([default])


def _unsupported(step: Step, what: str) -> BackendFailure:
    return BackendFailure(
        "unsupported",
        f"{step.site}: Orion is not given {what} here (known: convolutions, linear layers, batch "
        "normalisation, flatten and polynomials of degree 2, one after another)",
    )
