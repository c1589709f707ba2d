"""Runs a program on ciphertexts.

Rotations of inputs are made once and shared by all outputs. Scales are tracked exactly: those that
the library found must be those of the plan.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import tenseal.sealapi as sealapi

from evaluators.fhe.seal.engine import (
    Clock,
    EngineError,
    Keys,
    Scheme,
    Weights,
    galois_element,
)

if TYPE_CHECKING:
    from evaluators.fhe.instructions import Instruction
    from evaluators.fhe.seal.program import Program, Step

# Relative difference of scales that comes from rounding, not from a wrong plan (as for levels).
_SAME_SCALE = 1e-9


class Machine:
    """Runs a program under one set of keys.

    Args:
        scheme: the parameter set.
        program: what to run.
        weights: encoded once for the parameter set.
        keys: the server's part of them.
    """

    def __init__(
        self, scheme: Scheme, program: Program, weights: Mapping[str, Weights], keys: Keys
    ) -> None:
        self._scheme, self._program, self._weights = scheme, program, weights
        self._evaluator = scheme.evaluator
        self._galois, self._relin = keys.galois, keys.relin
        self._kinds: dict[str, Callable[[Step, list[list[Any]]], list[Any]]] = {
            "linear": self._linear,
            "square": self._square,
            "add": self._add,
            "polynomial": self._polynomial,
        }

    def run(self, inputs: list[Any], clock: Clock) -> list[Any]:
        """The ciphertexts of the output.

        Args:
            inputs: ciphertexts of the input.
            clock: is told of every step.

        Raises:
            EngineError: the program's plan does not hold.
        """
        last_use = {name: i for i, step in enumerate(self._program.steps) for name in step.inputs}
        values = {self._program.source: inputs}
        result = inputs
        for index, step in enumerate(self._program.steps):
            with clock.stage(step.node, step.kind, "server"):
                if step.kind not in self._kinds:
                    raise EngineError("unsupported", f"{step.node}: no operation {step.kind!r}")
                result = self._kinds[step.kind](step, [values[name] for name in step.inputs])
                for cipher in result:
                    self._settle(step, cipher)
            values[step.node] = result
            for name in step.inputs:
                if last_use[name] == index:
                    values.pop(name, None)
        return result

    def _settle(self, step: Step, cipher: Any) -> None:
        """Make limbs and scale those of the plan, if they are but for rounding."""
        limbs = cipher.coeff_modulus_size()
        if limbs != step.limbs_out:
            raise EngineError("depth", f"{step.node}: {limbs} limbs (planned {step.limbs_out})")
        self._same_scale(step.node, cipher.scale, step.scale_out)
        cipher.scale = step.scale_out

    @staticmethod
    def _same_scale(node: str, found: float, planned: float) -> None:
        if not math.isclose(found, planned, rel_tol=_SAME_SCALE):
            raise EngineError(
                "scale_mismatch",
                f"{node}: scale 2^{math.log2(found):.6f} (planned 2^{math.log2(planned):.6f})",
            )

    def _rotated(self, cipher: Any, step: int) -> Any:
        if not step:
            return cipher
        result = sealapi.Ciphertext()
        self._evaluator.apply_galois(
            cipher, galois_element(step, self._scheme.n), self._galois, result
        )
        return result

    def _linear(self, step: Step, inputs: list[list[Any]]) -> list[Any]:
        weights = self._weights[step.node]
        source = [self._scheme.lowered(cipher, step.limbs_in) for cipher in inputs[0]]
        babies = {
            key: self._rotated(source[key[0]], key[1])
            for key in sorted(
                {
                    (entry[0], entry[1])
                    for sums in weights.sums
                    for entries in sums.values()
                    for entry in entries
                }
            )
        }
        results = []
        for sums, bias in zip(weights.sums, weights.bias, strict=True):
            cipher = self._giant_steps(step, sums, babies)
            if not step.early and not step.fold_first:
                self._evaluator.rescale_to_next_inplace(cipher)
            for fold in step.folds:
                self._evaluator.add_inplace(cipher, self._rotated(cipher, fold))
            if step.fold_first:
                self._evaluator.rescale_to_next_inplace(cipher)
            cipher.scale = self._planned(step, cipher)
            if bias is not None:
                self._evaluator.add_plain_inplace(cipher, bias)
            results.append(cipher)
        return results

    def _planned(self, step: Step, cipher: Any) -> float:
        self._same_scale(step.node, cipher.scale, step.scale_out)
        return step.scale_out

    def _giant_steps(
        self,
        step: Step,
        sums: Mapping[int, list[tuple[int, int, Any]]],
        babies: Mapping[tuple[int, int], Any],
    ) -> Any:
        """The sum over giant steps of rotated inner sums, rescaled if the step is ``early``."""
        evaluator = self._evaluator
        total = None
        for giant, entries in sums.items():
            inner = self._inner_sum(entries, babies)
            if step.early:
                evaluator.rescale_to_next_inplace(inner)
            inner = self._rotated(inner, giant)
            if total is None:
                total = inner
            else:
                evaluator.add_inplace(total, inner)
        return total

    def _inner_sum(
        self, entries: Sequence[tuple[int, int, Any]], babies: Mapping[tuple[int, int], Any]
    ) -> Any:
        """The products of one giant step, added up."""
        multiply, add = self._evaluator.multiply_plain, self._evaluator.add_inplace
        total, product = sealapi.Ciphertext(), sealapi.Ciphertext()
        source, baby, plain = entries[0]
        multiply(babies[source, baby], plain, total)
        for source, baby, plain in entries[1:]:
            multiply(babies[source, baby], plain, product)
            add(total, product)
        return total

    def _square(self, step: Step, inputs: list[list[Any]]) -> list[Any]:
        results = []
        for cipher in inputs[0]:
            result = sealapi.Ciphertext()
            self._evaluator.square(self._scheme.lowered(cipher, step.limbs_in), result)
            self._evaluator.relinearize_inplace(result, self._relin)
            if step.limbs_out < step.limbs_in:  # else the linear map behind rescales for both
                self._evaluator.rescale_to_next_inplace(result)
            results.append(result)
        return results

    def _add(self, step: Step, inputs: list[list[Any]]) -> list[Any]:
        results = []
        for left, right in zip(*inputs, strict=True):
            a, b = (self._scheme.lowered(c, step.limbs_in) for c in (left, right))
            self._same_scale(step.node, a.scale, b.scale)
            result = sealapi.Ciphertext()
            a.scale = b.scale = step.scale_in
            self._evaluator.add(a, b, result)
            results.append(result)
        return results

    def _polynomial(self, step: Step, inputs: list[list[Any]]) -> list[Any]:
        scalars = self._weights[step.node].scalars
        return [
            self._instructions(step, self._scheme.lowered(cipher, step.limbs_in), scalars)
            for cipher in inputs[0]
        ]

    def _instructions(self, step: Step, cipher: Any, scalars: Mapping[int, Any]) -> Any:
        """The last register of the plan of ``step`` on ``cipher``."""
        last_use = {r: i for i, one in enumerate(step.plan) for r in one.operands}
        registers = {0: cipher}
        result = cipher
        for index, one in enumerate(step.plan):
            operands = [registers[r] for r in one.operands]
            result = self._apply(one, operands, scalars.get(one.result))
            self._same_scale(step.node, result.scale, one.scale)
            result.scale = one.scale
            registers[one.result] = result
            for r in one.operands:
                if last_use[r] == index:
                    registers.pop(r, None)
        return result

    def _apply(self, one: Instruction, operands: Sequence[Any], scalar: Any) -> Any:
        """The result of one instruction, as a new ciphertext."""
        evaluator, first, result = self._evaluator, operands[0], sealapi.Ciphertext()
        if one.operation == "square":
            evaluator.square(first, result)
        elif one.operation == "multiply":
            evaluator.multiply(first, operands[1], result)
        elif one.operation == "relinearise":
            evaluator.relinearize(first, self._relin, result)
        elif one.operation == "rescale":
            evaluator.rescale_to_next(first, result)
        elif one.operation == "mod_switch":
            evaluator.mod_switch_to(first, self._scheme.level(one.limbs_out), result)
        elif one.operation == "multiply_scalar":
            evaluator.multiply_plain(first, scalar, result)
        elif one.operation == "add_scalar":
            first.scale = scalar.scale
            evaluator.add_plain(first, scalar, result)
        elif one.operation == "add":
            self._same_scale("sum", first.scale, operands[1].scale)
            first.scale = operands[1].scale = one.scale
            evaluator.add(first, operands[1], result)
        else:
            raise EngineError("unsupported", f"no instruction {one.operation!r}")
        return result
