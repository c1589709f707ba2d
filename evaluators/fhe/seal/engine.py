"""Parameter set, keys and encoded weights of SEAL, by ``tenseal.sealapi`` and numpy alone.

Weights are encoded once for a parameter set, at the level where they are used, and there is a
Galois key for each needed step and no other.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter, thread_time
from typing import Any

import numpy as np
import tenseal.sealapi as sealapi

from evaluators.fhe.seal.program import Program, Step


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
        """``values`` ``[slots]``, or one number for all slots, as a plaintext.

        Raises:
            EngineError: the scale alone exceeds the modulus there.
        """
        plain, bits = sealapi.Plaintext(), math.prod(self.primes[:limbs]).bit_length()
        # As the library, which says 'scale out of bounds' and no more. Source: seal/ckks.h, encode.
        if math.log2(scale) + 1 >= bits:
            raise EngineError(
                "overflow",
                f"scale 2^{math.log2(scale):.1f} where {bits} bit of modulus are left (two bits "
                "less at most)",
            )
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
        self._scheme, self._secret = scheme, secret
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

    def save(self, folder: Path) -> None:
        """Write ``secret.key`` (for its owner alone), ``galois.key`` and ``relin.key``.

        Nothing calls this but who was asked to keep keys.
        """
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        secret = folder / "secret.key"
        secret.unlink(missing_ok=True)
        secret.touch(mode=0o600)
        self._secret.save(str(secret))
        self.galois.save(str(folder / "galois.key"))
        self.relin.save(str(folder / "relin.key"))


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
