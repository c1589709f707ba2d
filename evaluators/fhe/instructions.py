"""Straight-line programs on ciphertexts, as every engine reads them: no keys, no library.

Registers are whole numbers, each written once; register 0 is the input. Values in slots are real
numbers; a ciphertext of scale ``s`` holds ``s`` times its value. An engine runs the list in order:

===============  ==========  ===================================================================
operation        operands    what it does
===============  ==========  ===================================================================
square           a           product of a with itself, of size 3 (not relinearised)
multiply         a, b        product, of size 3; operands have equal limbs
relinearise      a           from size 3 to 2
rescale          a           division by the last prime: one limb fewer
mod_switch       a           drop limbs down to ``limbs_out`` (one or several); the scale stays
multiply_scalar  a           product with ``value``, encoded at ``plain_scale`` on a's limbs
add_scalar       a           sum with ``value``, encoded at ``plain_scale`` (= a's scale)
add              a, b        sum; equal limbs and scales; sizes may be 2 and 3; ``b`` may be ``a``
===============  ==========  ===================================================================

``scale`` is that of the result, exact up to the rounding of float64. Libraries that compare scales
strictly may set it on each result: operands of a sum differ by a few units in the last place.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from evaluators.fhe.circuit import Operation


@dataclass(frozen=True)
class Instruction:
    """One operation.

    Args:
        operation: see the table above.
        result: register it writes.
        operands: registers it reads.
        limbs: of the operands.
        limbs_out: of the result.
        scale: of the result (the factor, not its logarithm).
        value: of the scalar, if there is one.
        plain_scale: scale at which ``value`` is encoded.
    """

    operation: Operation
    result: int
    operands: tuple[int, ...]
    limbs: int
    limbs_out: int
    scale: float
    value: float = 0.0
    plain_scale: float = 0.0


@dataclass
class Program:
    """Instructions being written: emits them and keeps limbs, scales and sizes of registers.

    Args:
        primes: the modulus chain, q0 first; the operand's limbs are its first ones.
    """

    primes: Sequence[float]
    steps: list[Instruction] = field(default_factory=list)
    limbs: list[int] = field(default_factory=list)
    scales: list[float] = field(default_factory=list)
    size3: set[int] = field(default_factory=set)
    switched: dict[tuple[int, int], int] = field(default_factory=dict)

    def input(self, limbs: int, scale: float) -> int:
        """Register of the input ciphertext; to be called first."""
        self.limbs.append(limbs)
        self.scales.append(scale)
        return 0

    def product(self, a: int, b: int) -> int:
        """``a * b`` on common limbs, of size 3."""
        limbs = min(self.limbs[a], self.limbs[b])
        a, b = self.at(a, limbs), self.at(b, limbs)
        scale = self.scales[a] * self.scales[b]
        operands = (a,) if a == b else (a, b)
        result = self._emit("square" if a == b else "multiply", operands, limbs, scale)
        self.size3.add(result)
        return result

    def scaled(self, a: int, value: float, limbs: int, scale: float) -> int:
        """``a * value`` on ``limbs`` limbs with exactly that scale in the result."""
        a = self.at(a, limbs)
        plain = scale / self.scales[a]
        return self._emit("multiply_scalar", (a,), limbs, scale, value=value, plain_scale=plain)

    def sum(self, a: int, b: int) -> int:
        """``a + b``, which have equal limbs and scales."""
        result = self._emit("add", (a, b), self.limbs[a], self.scales[a])
        if a in self.size3 or b in self.size3:
            self.size3.add(result)
        return result

    def shifted(self, a: int, value: float) -> int:
        """``a + value``."""
        scale = self.scales[a]
        return self._emit("add_scalar", (a,), self.limbs[a], scale, value=value, plain_scale=scale)

    def relinearised(self, a: int) -> int:
        """``a`` with size 2."""
        if a not in self.size3:
            return a
        return self._emit("relinearise", (a,), self.limbs[a], self.scales[a])

    def finished(self, a: int) -> int:
        """``a`` relinearised and rescaled."""
        a = self.relinearised(a)
        limbs = self.limbs[a]
        scale = self.scales[a] / self.primes[limbs - 1]
        return self._emit("rescale", (a,), limbs, scale, limbs_out=limbs - 1)

    def at(self, a: int, limbs: int) -> int:
        """``a`` with that many limbs; the same register if it has them already."""
        if self.limbs[a] == limbs:
            return a
        key = (a, limbs)
        if key not in self.switched:
            self.switched[key] = self._emit(
                "mod_switch", (a,), self.limbs[a], self.scales[a], limbs_out=limbs
            )
        return self.switched[key]

    def _emit(
        self,
        operation: Operation,
        operands: tuple[int, ...],
        limbs: int,
        scale: float,
        *,
        limbs_out: int | None = None,
        value: float = 0.0,
        plain_scale: float = 0.0,
    ) -> int:
        result = len(self.limbs)
        out = limbs if limbs_out is None else limbs_out
        self.steps.append(
            Instruction(operation, result, operands, limbs, out, scale, value, plain_scale)
        )
        self.limbs.append(out)
        self.scales.append(scale)
        return result


def counted(steps: Sequence[Instruction]) -> dict[tuple[Operation, int], int]:
    """``(operation, limbs before it)`` -> how often, in order of first use."""
    return dict(Counter((step.operation, step.limbs) for step in steps))


def interpret(steps: Sequence[Instruction], x: np.ndarray) -> np.ndarray:
    """The result of the last instruction on cleartext ``x`` (any shape), in float64."""
    registers = {0: np.asarray(x, dtype=np.float64)}
    for step in steps:
        operands = [registers[r] for r in step.operands]
        registers[step.result] = _applied(step, operands)
    return registers[steps[-1].result] if steps else registers[0]


def _applied(step: Instruction, operands: list[np.ndarray]) -> Any:
    first = operands[0]
    if step.operation == "square":
        return first * first
    if step.operation == "multiply":
        return first * operands[1]
    if step.operation == "add":
        return first + operands[1]
    if step.operation == "multiply_scalar":
        return first * step.value
    if step.operation == "add_scalar":
        return first + step.value
    return first  # relinearise, rescale, mod_switch: the value stays
