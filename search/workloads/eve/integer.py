"""A family of nested networks in integers: what the device computes, and its reference in PyTorch.

A value v of a tensor with ``fraction`` f stands for ``v * 2**-f``. A layer adds products of
integers and the mode's own bias in one sum of 32 (or 64) bits, shifts it right with rounding
and saturates; the last layer gives its sums themselves. Weights, scales and shifts are the same in
all modes, so that one schedule serves them all; biases are each mode's own.

Source: form and rules are ours, after what an MSP430 with LEA computes (sums of 32 bits).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

import torch
from torch import Tensor

from search.api.errors import EvaluationError
from search.workloads.eve.integer_arithmetic import (
    average_pool,
    max_pool,
    products,
    quantise,
    rounding_shift,
    saturate,
)
from search.workloads.eve.integer_graph import WEIGHTED, Step


class Tiles(Protocol):
    """How the device computes one layer, as ``spaces.eve.family.Execution``."""

    @property
    def rows(self) -> int:
        """Output rows of a tile."""
        ...

    @property
    def columns(self) -> int:
        """Output columns of a tile."""
        ...

    @property
    def filters(self) -> int:
        """Output channels of a tile."""
        ...

    @property
    def channels(self) -> int:
        """Input channels of a tile."""
        ...

    @property
    def order(self) -> str:
        """``reuse_I``, ``reuse_W`` or ``reuse_O``."""
        ...

    @property
    def batch(self) -> int:
        """Tiles between two preservations."""
        ...


@dataclass(frozen=True, eq=False)
class IntegerLayer:
    """One convolution or linear layer.

    Args:
        site: name of the step.
        weight: int64 of the densest mode, ``[M, C, kh, kw]`` or ``[M, F]``; 0 where no mode keeps.
        level: uint8 of that shape, see :mod:`search.workloads.nested`.
        bias: int64 ``[modes, M]`` on the scale of the sums, within 32 bits.
        weight_fraction, input_fraction: of weights and inputs; their sum is that of the sums.
        output_fraction: of the outputs; of the last layer that of its sums.
        sum_bits: 32 or 64: no partial sum, in whatever order, leaves that range.
        bound: largest magnitude of a partial sum, rounding included; proven from the weights.
    """

    site: str
    weight: Tensor
    level: Tensor
    bias: Tensor
    weight_fraction: int
    input_fraction: int
    output_fraction: int
    sum_bits: int
    bound: int

    @property
    def shift(self) -> int:
        """By how many bits sums are shifted right."""
        return self.weight_fraction + self.input_fraction - self.output_fraction

    def of(self, mode: int) -> Tensor:
        """int64 weights of mode ``mode``, from 1."""
        kept = (self.level > 0) & (self.level <= mode)
        return torch.where(kept, self.weight, torch.zeros_like(self.weight))


@dataclass(frozen=True, eq=False)
class IntegerFamily:
    """All modes.

    Args:
        steps: in execution order.
        layers: site -> layer, of every step with weights.
        bits: of weights and activations, 8 or 16.
        modes: how many; 1 is the sparsest.
        input_fraction: of the network's input.
        tiles: for each mode, site -> how the device computes it; sites left out are one tile.
        units: site -> unit that modes keep or drop (``pattern``, ``filter``, ``block``), where
            known; and inputs of a block.
    """

    steps: tuple[Step, ...]
    layers: Mapping[str, IntegerLayer]
    bits: int
    modes: int
    input_fraction: int
    tiles: tuple[Mapping[str, Tiles], ...] = ()
    units: Mapping[str, tuple[str, int]] = field(default_factory=dict)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Of one sample."""
        return self.steps[0].input_shape

    @property
    def sum_bits(self) -> int:
        """Width of sums that serves every layer, 32 or 64."""
        return max(layer.sum_bits for layer in self.layers.values())

    @property
    def raw(self) -> str | None:
        """Site of the layer whose sums are the outputs; None if something but flatten follows."""
        for step in reversed(self.steps):
            if step.operator != "flatten":
                return step.site if step.operator in WEIGHTED else None
        return None

    @property
    def output_fraction(self) -> int:
        """Of the outputs."""
        weighted = [step.site for step in self.steps if step.operator in WEIGHTED]
        return self.layers[weighted[-1]].output_fraction

    def quantise(self, x: Tensor) -> Tensor:
        """Images as the device's integers: int64 of the shape of ``x``."""
        return quantise(x, self.input_fraction, self.bits).long()

    def run(self, mode: int, inputs: Tensor) -> Tensor:
        """Outputs of mode ``mode``.

        Args:
            mode: from 1.
            inputs: int64 ``[n, *input_shape]``, on any device.

        Returns:
            int64 ``[n, outputs]`` (or of the last step's shape): the same integers as on the
            device.

        Raises:
            EvaluationError: there is no such mode.
        """
        return self.prepare(mode, str(inputs.device)).run(inputs)

    def only(self, mode: int) -> IntegerFamily:
        """Mode ``mode`` as a family of one: what a model of its own would store.

        Raises:
            EvaluationError: there is no such mode.
        """
        self._check(mode)
        layers = {
            site: replace(
                layer,
                weight=layer.of(mode),
                level=((layer.level > 0) & (layer.level <= mode)).to(torch.uint8),
                bias=layer.bias[mode - 1 : mode],
            )
            for site, layer in self.layers.items()
        }
        return replace(self, layers=layers, modes=1, tiles=self.tiles[mode - 1 : mode])

    def prepare(self, mode: int, device: str = "cpu") -> Mode:
        """Mode ``mode`` with its weights ready, for many batches.

        Raises:
            EvaluationError: there is no such mode.
        """
        self._check(mode)
        weights = {s: layer.of(mode).double().to(device) for s, layer in self.layers.items()}
        biases = {s: layer.bias[mode - 1].double().to(device) for s, layer in self.layers.items()}
        return Mode(self, weights, biases)

    def _check(self, mode: int) -> None:
        if not 1 <= mode <= self.modes:
            raise EvaluationError(f"no mode {mode} (expected 1 to {self.modes})")


@dataclass(frozen=True, eq=False)
class Mode:
    """One mode of a family, ready to run.

    Args:
        family: it belongs to.
        weights, biases: site -> float64 integers.
    """

    family: IntegerFamily
    weights: Mapping[str, Tensor]
    biases: Mapping[str, Tensor]

    def run(self, inputs: Tensor) -> Tensor:
        """As :meth:`IntegerFamily.run`."""
        value = inputs.double()
        for step in self.family.steps:
            value = self._step(step, value)
        return value.long()

    def _step(self, step: Step, x: Tensor) -> Tensor:
        window = (step.kernel, step.stride, step.padding)
        if step.operator in WEIGHTED:
            weight, bias = self.weights[step.site], self.biases[step.site]
            sums = products(x, weight, bias, step.stride, step.padding)
            if step.site == self.family.raw:
                return sums
            layer = self.family.layers[step.site]
            return saturate(rounding_shift(sums, layer.shift), self.family.bits)
        if step.operator == "relu":
            return x.clamp(min=0)
        if step.operator == "maxpool":
            return max_pool(x, *window, ceil=step.ceil)
        if step.operator == "avgpool":
            pooled = average_pool(x, *window, count_padding=step.count_padding)
            return pooled.view(len(x), *step.output_shape)
        return x.flatten(1)
