"""Times every operation on this host, in a bare process.

Started as ``python -m evaluators.fhe.seal.times FOLDER`` with a job in the folder, and leaves the
times there. Operands are taken in turn from stocks larger than the caches, as a network takes its
weights and its keys. CPU time, the least of several rounds over all sizes, so that a slow moment of
the machine does not stick to one size.
"""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
import tenseal.sealapi as sealapi

from evaluators.fhe.child_process import FAILED, end_with_parent, kind_of, tell_failure
from evaluators.fhe.seal.engine import Scheme, galois_element
from evaluators.fhe.seal_host import JOB, TIMES

_STOCK = 48 * 2**20  # bytes of plaintexts to take in turn: more than a last-level cache's share
_STEPS = (1, 3, 7)  # rotations whose keys are taken in turn
_LEAST = 0.004  # seconds a loop runs at least

Calls = Iterator[Callable[[], object]]


class _Keys:
    """Keys of both sides, and what encrypts and decrypts."""

    def __init__(self, scheme: Scheme) -> None:
        generator = sealapi.KeyGenerator(scheme.context)
        secret = generator.secret_key()
        self.encryptor = sealapi.Encryptor(scheme.context, secret)
        self.decryptor = sealapi.Decryptor(scheme.context, secret)
        self.elements = [galois_element(step, scheme.n) for step in _STEPS]
        self.galois, self.relin = sealapi.GaloisKeys(), sealapi.RelinKeys()
        generator.create_galois_keys(self.elements, self.galois)
        generator.create_relin_keys(self.relin)


def main(folder: Path) -> None:
    """Do the job in ``folder``: ``{log_n, limbs, rounds}``; a failure is written down."""
    end_with_parent()
    try:
        job = json.loads((folder / JOB).read_text(encoding="utf-8"))
        found = times(job["log_n"], job["limbs"], job["rounds"])
        (folder / TIMES).write_text(json.dumps(found), encoding="utf-8")
    except Exception as error:  # noqa: BLE001 - the library's errors have no common class
        tell_failure(folder, kind_of(str(error)), f"{type(error).__name__}: {error}")


def times(log_n: int, limbs: Sequence[int], rounds: int) -> list[dict[str, Any]]:
    """``{log_n, operation, limbs, ms}`` of every operation at each number of limbs."""
    primes = sealapi.CoeffModulus.Create(2**log_n, [40] * (max(limbs) + 1))
    values = [modulus.value() for modulus in primes]
    scheme = Scheme(log_n, values[:-1], values[-1:])
    keys = _Keys(scheme)
    calls = {
        (operation, count): each
        for count in limbs
        for operation, each in _operations(scheme, keys, count).items()
    }
    best = dict.fromkeys(calls, float("inf"))
    for _ in range(rounds):
        for key, each in calls.items():
            best[key] = min(best[key], _time(each))
    return [
        {"log_n": log_n, "operation": operation, "limbs": count, "ms": 1e3 * seconds}
        for (operation, count), seconds in best.items()
    ]


def _time(calls: Calls) -> float:
    """CPU seconds of one call."""
    next(calls)()
    done, began = 0, process_time()
    while True:
        for _ in range(2):
            next(calls)()
        done += 2
        elapsed = process_time() - began
        if elapsed >= _LEAST:
            return elapsed / done


def _operations(scheme: Scheme, keys: _Keys, limbs: int) -> dict[str, Calls]:
    """Endless calls of each operation on ciphertexts of ``limbs`` limbs."""
    evaluator, scale = scheme.evaluator, 2.0**15
    values = np.random.default_rng(limbs).uniform(-1, 1, scheme.n // 2)
    plain = scheme.encode(values, limbs, scale)
    cipher, product = sealapi.Ciphertext(), sealapi.Ciphertext()
    keys.encryptor.encrypt_symmetric(plain, cipher)
    evaluator.square(cipher, product)
    other, result = sealapi.Ciphertext(), sealapi.Ciphertext()
    keys.encryptor.encrypt_symmetric(plain, other)
    decrypted = sealapi.Plaintext()
    stock = [scheme.encode(values, limbs, scale) for _ in range(_STOCK // (8 * scheme.n * limbs))]
    found: dict[str, Calls] = {
        "encode": _again(lambda: scheme.encode(values, limbs, scale)),
        "encrypt": _again(lambda: keys.encryptor.encrypt_symmetric(plain, result)),
        "decrypt": _again(lambda: keys.decryptor.decrypt(cipher, decrypted)),
        "decode": _again(lambda: np.array(scheme.encoder.decode_double(plain))),
        "add": _again(lambda: evaluator.add_inplace(other, cipher)),
        "add_plain": _each(lambda p: evaluator.add_plain(cipher, p, result), stock),
        "multiply_plain": _each(lambda p: evaluator.multiply_plain(cipher, p, result), stock),
        "multiply": _again(lambda: evaluator.multiply(cipher, other, result)),
        "square": _again(lambda: evaluator.square(cipher, result)),
        "relinearise": _again(lambda: evaluator.relinearize(product, keys.relin, result)),
        "rotate": _each(
            lambda e: evaluator.apply_galois(cipher, e, keys.galois, result), keys.elements
        ),
    }
    if limbs > 1:
        found["rescale"] = _again(lambda: evaluator.rescale_to_next(cipher, result))
        found["mod_switch"] = _again(lambda: evaluator.mod_switch_to_next(cipher, result))
    return found


def _again(call: Callable[[], object]) -> Calls:
    return itertools.repeat(call)


def _each(call: Callable[[Any], object], stock: Sequence[Any]) -> Calls:
    for entry in itertools.cycle(stock):
        yield lambda entry=entry: call(entry)  # type: ignore[misc]


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(FAILED)
    main(Path(sys.argv[1]))
