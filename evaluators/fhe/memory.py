"""Bytes of an encrypted inference: keys, encoded weights, and what the client sends.

Every residue of SEAL and Lattigo is a 64-bit word. One MB is 10^6 bytes.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

_WORD = 8
_MB = 1e6


def key_mb(keys: int, limbs: np.ndarray, special: np.ndarray, n: int) -> np.ndarray:
    """MB of ``keys`` Galois or relinearisation keys.

    A key has one pair of polynomials for each group of data primes, over all primes: with one
    special prime 2 l (l + 1) N words.

    Args:
        keys: number of keys.
        limbs: ``[k]``, data primes l of each chain, spare levels included.
        special: ``[k]``, special primes.
        n: ring dimension.

    Returns:
        ``[k]``, in MB.
    """
    groups = -(-limbs // special)
    return np.asarray(keys * 2 * groups * (limbs + special) * float(n) * _WORD / _MB)


def plaintext_mb(weights: Iterable[tuple[int, int]], n: int) -> float:
    """MB of encoded weights.

    Args:
        weights: (limbs, diagonals) of each linear map.
        n: ring dimension.
    """
    return sum(limbs * count for limbs, count in weights) * n * _WORD / _MB


def upload_mb(ciphertexts: int, limbs: int, n: int) -> float:
    """MB that the client sends: of a symmetric ciphertext one half is a seed and costs nothing.

    Args:
        ciphertexts: that hold the input.
        limbs: of each.
        n: ring dimension.
    """
    return ciphertexts * limbs * n * _WORD / _MB
