"""Runs a program on ciphertexts. Needs numpy and ``tenseal.sealapi`` alone, and no torch.

Rotations of inputs are made once and shared by all outputs, weights are encoded once for a
parameter set at the level where they are used, and there is a Galois key for each needed step and
no other. Scales are tracked exactly: those that the library found must be those of the plan.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import perf_counter, thread_time
from typing import Any

import numpy as np
import tenseal.sealapi as sealapi

from evaluators.fhe.instructions import Instruction
from evaluators.fhe.seal.program import Program, Step

# Relative difference of scales that comes from rounding, not from a wrong plan (as for levels).
_SAME_SCALE = 1e-9


class EngineError(Exception):
    """The program cannot be run.

    Args:
        kind: one of the ways to fail, see ``evaluators.fhe.failures``.
        detail: what happened.
    """

    def __init__(self, kind: str, detail: str) -> None:
        self.kind, self.detail = kind, detail
        super().__init__(f"{kind}: {detail}")


class Clock:
    """Wall-clock and processor time by stage, in order.

    Processor time is this thread's, which does all the work: under a limit of processor time the
    kernel counts that of the process in ticks of milliseconds.
    """

    def __init__(self, tell: Callable[[str], None] = lambda stage: None) -> None:
        self.stages: list[dict[str, Any]] = []
        self._tell = tell

    @contextmanager
    def stage(self, name: str, kind: str, place: str) -> Iterator[None]:
        """Time what is done inside."""
        self._tell(name)
        wall, cpu = perf_counter(), thread_time()
        yield
        self.stages.append(
            {
                "stage": name,
                "kind": kind,
                "place": place,
                "seconds": perf_counter() - wall,
                "cpu_seconds": thread_time() - cpu,
            }
        )


class Scheme:
    """A parameter set: context, encoder, evaluator, and the identity of each level.

    Args:
        log_n: log2 of the ring dimension.
        primes: data primes, that which is never dropped first.
        special: one prime for key switching.

    Raises:
        EngineError: the library does not take these parameters.
    """

    def __init__(self, log_n: int, primes: Sequence[int], special: Sequence[int]) -> None:
        if len(special) != 1:
            raise EngineError("unsupported", f"{len(special)} special primes (SEAL takes one)")
        self.n = 2**log_n
        self.primes = tuple(primes)
        parameters = sealapi.EncryptionParameters(sealapi.SCHEME_TYPE.CKKS)
        parameters.set_poly_modulus_degree(self.n)
        parameters.set_coeff_modulus([sealapi.Modulus(p) for p in (*primes, *special)])
        # Security is judged before, by stricter tables than the library's.
        self.context = sealapi.SEALContext(parameters, True, sealapi.SEC_LEVEL_TYPE.NONE)
        if not self.context.parameters_set():
            name = self.context.parameters_error_name()
            kind = "insecure" if "insecure" in name else "no_primes"
            raise EngineError(kind, f"{name}: {self.context.parameters_error_message()}")
        self.encoder = sealapi.CKKSEncoder(self.context)
        self.evaluator = sealapi.Evaluator(self.context)
        self._levels: dict[int, Any] = {}
        data = self.context.first_context_data()
        for limbs in range(len(primes), 0, -1):
            self._levels[limbs] = data.parms_id()
            data = data.next_context_data()

    def level(self, limbs: int) -> Any:
        """The library's name of the level with ``limbs`` limbs.

        Raises:
            EngineError: there is none.
        """
        try:
            return self._levels[limbs]
        except KeyError:
            raise EngineError(
                "depth", f"a ciphertext of {limbs} limbs (the chain has {len(self.primes)})"
            ) from None

    def encode(self, values: np.ndarray | float, limbs: int, scale: float) -> Any:
        """``values`` ``[slots]``, or one number for all slots, as a plaintext."""
        plain = sealapi.Plaintext()
        self.encoder.encode(values, self.level(limbs), scale, plain)
        return plain

    def lowered(self, cipher: Any, limbs: int) -> Any:
        """``cipher`` with ``limbs`` limbs: itself if it has so many, else a copy."""
        if cipher.coeff_modulus_size() == limbs:
            return cipher
        copy = sealapi.Ciphertext()
        self.evaluator.mod_switch_to(cipher, self.level(limbs), copy)
        return copy


class Keys:
    """Fresh keys: the client's secret, and what the server needs to rotate and relinearise."""

    def __init__(self, scheme: Scheme, rotations: Sequence[int], relinearise: bool) -> None:
        generator = sealapi.KeyGenerator(scheme.context)
        secret = generator.secret_key()
        self._scheme = scheme
        self._encryptor = sealapi.Encryptor(scheme.context, secret)
        self._decryptor = sealapi.Decryptor(scheme.context, secret)
        self.galois = sealapi.GaloisKeys()
        if rotations:
            elements = [galois_element(step, scheme.n) for step in rotations]
            generator.create_galois_keys(elements, self.galois)
        self.relin = sealapi.RelinKeys()
        if relinearise:
            generator.create_relin_keys(self.relin)

    def encrypt(self, values: np.ndarray, limbs: int, scale: float) -> Any:
        """``values`` ``[slots]`` as a ciphertext; the client's secret key does it."""
        cipher = sealapi.Ciphertext()
        self._encryptor.encrypt_symmetric(self._scheme.encode(values, limbs, scale), cipher)
        return cipher

    def decrypt(self, cipher: Any) -> np.ndarray:
        """The numbers in ``cipher``, ``[slots]``."""
        plain = sealapi.Plaintext()
        self._decryptor.decrypt(cipher, plain)
        return np.array(self._scheme.encoder.decode_double(plain))


def galois_element(step: int, n: int) -> int:
    """The power of X that stands for a rotation by ``step`` slots to the left, in ring X^n + 1."""
    return pow(3, step % (n // 2), 2 * n)


@dataclass
class Weights:
    """Encoded weights of one step.

    Args:
        sums: of a linear map: result -> giant -> list of (source, baby, plaintext).
        bias: of a linear map, per result; None where it is zero.
        scalars: of a polynomial: register -> the number that makes it.
    """

    sums: list[dict[int, list[tuple[int, int, Any]]]]
    bias: list[Any] = field(default_factory=list)
    scalars: Mapping[int, Any] = field(default_factory=dict)


def encode_weights(scheme: Scheme, program: Program) -> dict[str, Weights]:
    """Diagonals, biases and scalars of all steps, at the levels where they are used."""
    weights = {}
    for index, step in enumerate(program.steps):
        if step.kind == "linear":
            weights[step.node] = _encode_linear(scheme, program, index, step)
        elif step.kind == "polynomial":
            weights[step.node] = Weights([], scalars=_encode_scalars(scheme, step))
    return weights


def _encode_scalars(scheme: Scheme, step: Step) -> dict[int, Any]:
    scalars = {}
    for instruction in step.plan:
        if instruction.operation in ("multiply_scalar", "add_scalar"):
            scale = instruction.plain_scale
            plain = scheme.encode(instruction.value, instruction.limbs, scale)
            if instruction.operation == "multiply_scalar" and plain.is_zero():
                plain = scheme.encode(1.0 / scale, instruction.limbs, scale)  # see _encode_linear
            scalars[instruction.result] = plain
    return scalars


def _encode_linear(scheme: Scheme, program: Program, index: int, step: Step) -> Weights:
    diagonals = program.diagonals(index)
    weights = Weights([{} for _ in range(step.ciphertexts)])
    for number, (source, result, baby, giant) in enumerate(program.terms(index).tolist()):
        diagonal = diagonals[number]
        if not diagonal.any():
            continue
        plain = scheme.encode(diagonal, step.limbs_in, step.weight_scale)
        # Weights below the resolution of the scale: the library refuses a product with zero.
        if not plain.is_zero():
            weights.sums[result].setdefault(giant, []).append((source, baby, plain))
    for sums in weights.sums:
        if not sums:
            # All weights are zero, and a ciphertext of nothing cannot be made from others: the
            # least number that the scale can hold stands for zero.
            tiny = scheme.encode(1.0 / step.weight_scale, step.limbs_in, step.weight_scale)
            sums[0] = [(0, 0, tiny)]
    weights.bias = [
        scheme.encode(row, step.limbs_out, step.scale_out) if row.any() else None
        for row in program.bias(index)
    ]
    return weights


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
            for fold in step.folds:
                self._evaluator.add_inplace(cipher, self._rotated(cipher, fold))
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
        """The sum over giant steps of rotated inner sums, rescaled."""
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
        if not step.early:
            evaluator.rescale_to_next_inplace(total)
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
