"""A packed network in the clear, forwards with sampled noise and backwards with derivatives.

Arrays of values are ``[batch, ciphertexts, slots]``. The order of operations is that of engines, so
that noise enters where theirs does.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from evaluators.fhe.noise import Source

if TYPE_CHECKING:
    from evaluators.fhe.instructions import Instruction
    from evaluators.fhe.packed import PackedLinear, PackedNetwork

Add = Callable[[Source, np.ndarray], np.ndarray]
"""(source, values) -> values with its noise; ``weights`` are given the energy they meet."""

Meet = Callable[[Source, np.ndarray, "np.ndarray | None"], None]
"""(source, derivatives of the outputs by what it adds to, energy it is multiplied with)."""


def quiet(source: Source, values: np.ndarray) -> np.ndarray:
    """No noise."""
    return values


def sums(linear: PackedLinear) -> dict[tuple[int, int], list[int]]:
    """(result, giant) -> its terms."""
    found: dict[tuple[int, int], list[int]] = defaultdict(list)
    for index, term in enumerate(linear.terms):
        found[term.result, term.giant].append(index)
    return found


def forward_linear(linear: PackedLinear, x: np.ndarray, add: Add = quiet) -> np.ndarray:
    """Result of a linear map."""
    name, noisy = linear.name, add is not quiet
    babies = _rotated(linear, x, add)
    shape = (len(x), linear.result.ciphertexts, x.shape[2])
    result = np.zeros(shape)
    for (number, giant), terms in sums(linear).items():
        inner = np.zeros((len(x), x.shape[2]))
        energy = np.zeros_like(inner)
        for index in terms:
            value = babies[linear.terms[index].source, linear.terms[index].baby]
            diagonal = linear.diagonal(index)
            inner += diagonal * value
            if noisy:
                energy += unrepeated(diagonal) * value * value
        if noisy:
            inner += add(Source(name, "weights"), np.zeros_like(inner)) * np.sqrt(energy)
        if linear.early:
            inner = add(Source(name, "rescale"), inner)
        if giant:
            inner = add(Source(name, giant_part(linear)), np.roll(inner, -giant, axis=-1))
        result[:, number] += inner
    if not linear.early and not linear.fold_first:
        result = add(Source(name, "rescale"), result)
    for step in linear.folds:
        folded = np.roll(result, -step, axis=-1)
        result = result + add(Source(name, fold_part(linear)), folded)
    if linear.fold_first:
        result = add(Source(name, "rescale"), result)
    return np.asarray(result + linear.bias())


def backward_linear(
    linear: PackedLinear, x: np.ndarray, grad: np.ndarray, meet: Meet
) -> np.ndarray:
    """Derivatives by the operand, from those by the result.

    Args:
        linear: the map.
        x: values of the operand ``[images, ciphertexts, slots]``.
        grad: ``[images * outputs, ciphertexts, slots]``, images varying slowest.
        meet: is told of every source.
    """
    name = linear.name
    if linear.fold_first:
        meet(Source(name, "rescale"), grad, None)
    for step in reversed(linear.folds):
        meet(Source(name, fold_part(linear)), grad, None)
        grad = grad + np.roll(grad, step, axis=-1)
    if not linear.early and not linear.fold_first:
        meet(Source(name, "rescale"), grad, None)
    rotated = _rotated(linear, x, quiet)
    inner: dict[tuple[int, int], np.ndarray] = {}
    for (number, giant), terms in sums(linear).items():
        outer = grad[:, number]
        if giant:
            meet(Source(name, giant_part(linear)), outer[:, None], None)
        outer = np.roll(outer, giant, axis=-1)
        if linear.early:
            meet(Source(name, "rescale"), outer[:, None], None)
        energy = np.zeros((len(x), x.shape[2]), dtype=x.dtype)
        for index in terms:
            key = (linear.terms[index].source, linear.terms[index].baby)
            diagonal = linear.diagonal(index)
            part = outer * diagonal.astype(outer.dtype)
            if key in inner:
                inner[key] += part
            else:
                inner[key] = part
            energy += np.float32(unrepeated(diagonal)) * rotated[key] ** 2
        meet(Source(name, "weights"), outer[:, None], energy[:, None])
    result = np.zeros((len(grad), x.shape[1], x.shape[2]), dtype=grad.dtype)
    for (source, baby), part in inner.items():
        if baby:
            meet(Source(name, "baby"), part[:, None], None)
        result[:, source] += np.roll(part, baby, axis=-1)
    return result


def unrepeated(diagonal: np.ndarray) -> float:
    """The share of a diagonal's slots after which its content repeats.

    A vector of period p is a polynomial with p of N / 2 coefficients (and their mirror images), the
    others being exactly 0: rounding leaves so much less.
    """
    period = len(diagonal)
    while period % 2 == 0:
        half = period // 2
        if diagonal[0] != diagonal[half] or not np.array_equal(
            diagonal[:half], diagonal[half:period]
        ):
            break
        period = half
    return period / len(diagonal)


def giant_part(linear: PackedLinear) -> str:
    """Which source a giant step is: after its rescaling or before."""
    return "early giant" if linear.early else "giant"


def fold_part(linear: PackedLinear) -> str:
    """Which source a fold is: before the rescaling or after."""
    return "first fold" if linear.fold_first else "fold"


def forward_program(
    node: str, steps: tuple[Instruction, ...], x: np.ndarray, add: Add = quiet
) -> dict[int, np.ndarray]:
    """Every register of a polynomial's program."""
    registers = {0: x}
    for index, step in enumerate(steps):
        operands = [registers[r] for r in step.operands]
        value = _result(step, operands)
        if step.operation in ("relinearise", "rescale"):
            value = add(Source(node, f"{step.operation} {index}"), value)
        registers[step.result] = value
    return registers


def backward_program(
    node: str,
    steps: tuple[Instruction, ...],
    registers: dict[int, np.ndarray],
    grad: np.ndarray,
    meet: Meet,
) -> np.ndarray:
    """Derivatives by register 0, from those by the last one."""
    grads: dict[int, np.ndarray] = {steps[-1].result: grad}
    for index, step in reversed(list(enumerate(steps))):
        own = grads.pop(step.result, None)
        if own is None:
            continue
        if step.operation in ("relinearise", "rescale"):
            meet(Source(node, f"{step.operation} {index}"), own, None)
        for operand, part in _derivatives(step, registers, own):
            grads[operand] = grads[operand] + part if operand in grads else part
    return grads[0]


def spread(values: np.ndarray, like: np.ndarray) -> np.ndarray:
    """Values of images repeated for the outputs of each: ``[images * outputs, ...]``."""
    return np.repeat(values, len(like) // len(values), axis=0).astype(like.dtype)


def positions(packed: PackedNetwork) -> Iterator[tuple[int, int]]:
    """(ciphertext, slot) of each output."""
    last = packed.layouts[packed.graph.nodes[-1].name]
    for position in last.slots:
        yield int(position) // packed.slots, int(position) % packed.slots


def _rotated(linear: PackedLinear, x: np.ndarray, add: Add) -> dict[tuple[int, int], np.ndarray]:
    found = {}
    for source, baby in sorted({(t.source, t.baby) for t in linear.terms}):
        value = np.roll(x[:, source], -baby, axis=-1)
        found[source, baby] = add(Source(linear.name, "baby"), value) if baby else value
    return found


def _result(step: Instruction, operands: list[np.ndarray]) -> np.ndarray:
    x = operands[0]
    found = x
    if step.operation == "multiply":
        found = x * operands[1]
    elif step.operation == "add":
        found = x + operands[1]
    elif step.operation == "square":
        found = x * x
    elif step.operation == "multiply_scalar":
        found = x * step.value
    elif step.operation == "add_scalar":
        found = x + step.value
    return found


def _derivatives(
    step: Instruction, registers: dict[int, np.ndarray], grad: np.ndarray
) -> Iterator[tuple[int, np.ndarray]]:
    first = step.operands[0]
    if step.operation == "square":
        yield first, 2 * spread(registers[first], grad) * grad
    elif step.operation == "multiply":
        second = step.operands[1]
        yield first, spread(registers[second], grad) * grad
        yield second, spread(registers[first], grad) * grad
    elif step.operation == "add":
        for operand in step.operands:
            yield operand, grad
    elif step.operation == "multiply_scalar":
        yield first, step.value * grad
    else:
        yield first, grad
