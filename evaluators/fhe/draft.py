"""Operators of a network before they are fused: what the rules of fusion rewrite."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from evaluators.fhe.matrices import identity

if TYPE_CHECKING:
    from scipy.sparse import csr_array

INPUT = "input"


@dataclass
class Op:
    """One operator on flattened tensors.

    Args:
        name: unique, and kept for good.
        kind: ``quadratic``: ``square x^2 + slope x + offset`` per element. ``function``: any
            function that has a name; needs a choice of what stands for it.
        inputs: names of the operators it reads.
        shape: of its result, per sample.
        matrix, bias: of a linear operator.
        stride: of the convolutions and pools it holds.
        weighted: whether a linear operator has weights of its own, and does not only move, average
            or scale.
        square, slope, offset: of a quadratic, ``[elements]`` each.
        function: name of a function.
        label: what people call it: the site of its last layer with weights.
        sites: of the network that it holds.
    """

    name: str
    kind: Literal["input", "linear", "quadratic", "function", "add"]
    inputs: tuple[str, ...]
    shape: tuple[int, ...]
    matrix: csr_array | None = None
    bias: np.ndarray | None = None
    stride: int = 1
    weighted: bool = False
    square: np.ndarray | None = None
    slope: np.ndarray | None = None
    offset: np.ndarray | None = None
    function: str = ""
    label: str = ""
    sites: tuple[str, ...] = ()

    @property
    def elements(self) -> int:
        """Number of elements of the result."""
        return math.prod(self.shape)

    @property
    def linear(self) -> tuple[csr_array, np.ndarray]:
        """Matrix and bias; only linear operators have them."""
        if self.matrix is None or self.bias is None:
            raise RuntimeError(f"{self.name}: not linear")
        return self.matrix, self.bias

    @property
    def quadratic(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """``(square, slope, offset)``; only quadratics have them."""
        if self.square is None or self.slope is None or self.offset is None:
            raise RuntimeError(f"{self.name}: not quadratic")
        return self.square, self.slope, self.offset


@dataclass
class Draft:
    """Operators in execution order.

    Args:
        ops: by name; the first is the input.
        output: name of the one that is the result.
    """

    ops: dict[str, Op]
    output: str

    def users(self, name: str) -> list[str]:
        """Names of the readers of ``name``, each as often as it reads it."""
        return [op.name for op in self.ops.values() for source in op.inputs if source == name]

    def alone(self, name: str) -> bool:
        """Whether one operator, once, reads ``name``, and it is not the result."""
        return len(self.users(name)) == 1 and name != self.output

    def sources(self, op: Op) -> Iterator[Op]:
        """The operators that ``op`` reads."""
        return (self.ops[name] for name in op.inputs)

    def replace(self, old: str, new: str) -> None:
        """Readers of ``old`` read ``new``; ``old`` itself is dropped."""
        for op in self.ops.values():
            op.inputs = tuple(new if name == old else name for name in op.inputs)
        if self.output == old:
            self.output = new
        del self.ops[old]

    def prune(self) -> None:
        """Drop what nothing reads."""
        used = {INPUT, self.output}
        for op in reversed(self.ops.values()):
            if op.name in used:
                used.update(op.inputs)
        self.ops = {name: op for name, op in self.ops.items() if name in used}


def passed_on(op: Op) -> tuple[csr_array, np.ndarray]:
    """``op`` as a map of what it reads, if linear; else of its own result: each to itself."""
    if op.kind == "linear":
        return op.linear
    return identity(op.elements), np.zeros(op.elements)
