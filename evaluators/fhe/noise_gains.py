"""How noise of every source reaches the outputs of a packed network: one analysis, many chains.

The outputs' derivatives by every slot at every operation are carried backwards for some images, so
that signs, sums over slots and the values that meet in squares are those of the network. What a
parameter set adds is a variance per source, and predictions for many sets are one product of
matrices.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from evaluators.fhe.noise import Source, Variance, bias_profile, nominal_instructions
from evaluators.fhe.noise_walk import (
    Add,
    backward_linear,
    backward_program,
    forward_linear,
    forward_program,
    positions,
    quiet,
    spread,
)

if TYPE_CHECKING:
    from evaluators.fhe.graph import Node
    from evaluators.fhe.packed import PackedNetwork


@dataclass(frozen=True)
class Gains:
    """What of a source's variance arrives at each output.

    Args:
        sources: in no order.
        white: ``[sources, images, outputs]``, by variance in every slot.
        biased: the same by the factor of the bias profile.
    """

    sources: tuple[Source, ...]
    white: np.ndarray
    biased: np.ndarray

    def deviations(self, sets: Sequence[Mapping[Source, Variance]]) -> np.ndarray:
        """Standard deviation of the error, ``[sets, images, outputs]``."""
        return np.asarray(np.sqrt(self.shares(sets).sum(axis=1)))

    def shares(self, sets: Sequence[Mapping[Source, Variance]]) -> np.ndarray:
        """Variance that each source causes, ``[sets, sources, images, outputs]``."""
        white = np.array([[one[s].white for s in self.sources] for one in sets])
        biased = np.array([[one[s].biased for s in self.sources] for one in sets])
        even = white[:, :, None, None] * self.white[None]
        return np.asarray(even + biased[:, :, None, None] * self.biased[None])


def forward(packed: PackedNetwork, images: np.ndarray, add: Add = quiet) -> dict[str, np.ndarray]:
    """Slots of every node, ``[images, ciphertexts, slots]``.

    Args:
        packed: the network.
        images: ``[images, elements]``.
        add: noise to add.
    """
    values: dict[str, np.ndarray] = {}
    for node in packed.graph.nodes:
        given = [values[name] for name in node.inputs]
        if node.kind == "input":
            fresh = np.stack([packed.encode_input(image) for image in images])
            values[node.name] = add(Source(node.name, "fresh"), fresh)
        elif node.kind == "linear":
            values[node.name] = forward_linear(packed.linears[node.name], given[0], add)
        elif node.kind == "square":
            square = add(Source(node.name, "relinearise"), given[0] ** 2)
            values[node.name] = add(Source(node.name, "rescale"), square)
        elif node.kind == "polynomial":
            steps = nominal_instructions(node)
            registers = forward_program(node.name, steps, given[0], add)
            values[node.name] = registers[steps[-1].result]
        else:
            values[node.name] = given[0] + given[1]
    return values


def analyse(packed: PackedNetwork, images: np.ndarray) -> Gains:
    """The gains on ``images`` ``[images, elements]``; single precision is enough.

    Costs about as much as ``images * outputs`` inferences in the clear.
    """
    values = {k: v.astype(np.float32) for k, v in forward(packed, images).items()}
    outputs = list(positions(packed))
    last = packed.graph.nodes[-1].name
    first = np.zeros(
        (len(images), len(outputs), packed.layouts[last].ciphertexts, packed.slots),
        dtype=np.float32,
    )
    for index, (cipher, slot) in enumerate(outputs):
        first[:, index, cipher, slot] = 1.0
    ledger = _Ledger(len(images), len(outputs), bias_profile(packed.slots))
    grads = {last: first.reshape(-1, *first.shape[2:])}
    for node in reversed(packed.graph.nodes):
        grad = grads.pop(node.name, None)
        if grad is None:  # nothing of it reaches an output
            grad = np.zeros((len(outputs) * len(images), *values[node.name].shape[1:]), np.float32)
        for name, part in _backward(packed, node, values, grad, ledger):
            grads[name] = grads[name] + part if name in grads else part
    return ledger.gains()


class _Ledger:
    """Adds up squares of derivatives."""

    def __init__(self, images: int, outputs: int, profile: np.ndarray) -> None:
        self._shape = (images, outputs)
        self._profile = profile.astype(np.float32)
        self._white: dict[Source, np.ndarray] = defaultdict(lambda: np.zeros(self._shape))
        self._biased: dict[Source, np.ndarray] = defaultdict(lambda: np.zeros(self._shape))

    def meet(self, source: Source, grad: np.ndarray, energy: np.ndarray | None) -> None:
        """``grad``: derivatives ``[images * outputs, ciphertexts, slots]`` by what is added."""
        squares = grad * grad
        if energy is not None:
            squares *= spread(energy, grad)
        squares = squares.sum(axis=1)
        self._white[source] += squares.sum(axis=-1, dtype=np.float64).reshape(self._shape)
        if energy is None:
            self._biased[source] += (squares @ self._profile).reshape(self._shape)

    def gains(self) -> Gains:
        """What was added up."""
        sources = tuple(self._white)
        nothing = np.zeros(self._shape)
        return Gains(
            sources,
            np.stack([self._white[s] for s in sources]),
            np.stack([self._biased.get(s, nothing) for s in sources]),
        )


def _backward(
    packed: PackedNetwork,
    node: Node,
    values: Mapping[str, np.ndarray],
    grad: np.ndarray,
    ledger: _Ledger,
) -> list[tuple[str, np.ndarray]]:
    """Derivatives by the operands of ``node``; its sources are booked."""
    if node.kind == "input":
        ledger.meet(Source(node.name, "fresh"), grad, None)
        return []
    if node.kind == "add":
        return [(name, grad) for name in node.inputs]
    operand = node.inputs[0]
    x = values[operand]
    if node.kind == "linear":
        return [(operand, backward_linear(packed.linears[node.name], x, grad, ledger.meet))]
    if node.kind == "square":
        ledger.meet(Source(node.name, "rescale"), grad, None)
        ledger.meet(Source(node.name, "relinearise"), grad, None)
        return [(operand, 2 * spread(x, grad) * grad)]
    steps = nominal_instructions(node)
    registers = forward_program(node.name, steps, x)
    return [(operand, backward_program(node.name, steps, registers, grad, ledger.meet))]
