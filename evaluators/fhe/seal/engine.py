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
from time import perf_counter, process_time
from typing import Any

import numpy as np
import tenseal.sealapi as sealapi

from evaluators.fhe.seal.program import Program, Step

# Relative difference of scales that comes from rounding, not from a wrong plan. It shifts a result
# by as much, so it has to be far below the precision of any scheme here (2^-40 at best).
_SAME_SCALE = 1e-12


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
    """Wall-clock and processor time by stage, in order."""

    def __init__(self, tell: Callable[[str], None] = lambda stage: None) -> None:
        self.stages: list[dict[str, Any]] = []
        self._tell = tell

    @contextmanager
    def stage(self, name: str, kind: str, place: str) -> Iterator[None]:
        """Time what is done inside."""
        self._tell(name)
        wall, cpu = perf_counter(), process_time()
        yield
        self.stages.append(
            {
                "stage": name,
                "kind": kind,
                "place": place,
                "seconds": perf_counter() - wall,
                "cpu_seconds": process_time() - cpu,
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
    """Encoded weights of one linear map.

    Args:
        sums: result -> giant -> list of (source, baby, plaintext).
        bias: per result; None where it is zero.
    """

    sums: list[dict[int, list[tuple[int, int, Any]]]]
    bias: list[Any] = field(default_factory=list)


def encode_weights(scheme: Scheme, program: Program) -> dict[str, Weights]:
    """Every linear map's diagonals and bias, at the levels where they are used."""
    return {
        step.node: _encode_linear(scheme, program, index, step)
        for index, step in enumerate(program.steps)
        if step.kind == "linear"
    }


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
