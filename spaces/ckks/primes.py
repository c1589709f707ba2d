"""The primes of a modulus chain, exact, and the same that SEAL picks.

A prime p serves rings of dimension N if p = 1 mod 2N (number-theoretic transform); a
conjugate-invariant ring of degree N needs p = 1 mod 4N.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import lru_cache

from spaces.ckks.params import Chain, RingType

LARGEST_BITS = 60
"""Bits of the largest prime that SEAL and Lattigo take for a modulus."""

# With these witnesses the Miller-Rabin test has no liar below 3.3e24. Source: Sorenson, Webster,
# Strong pseudoprimes to twelve prime bases, Math. Comp. 86 (2017).
_WITNESSES = (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37)


class NotEnoughPrimes(ValueError):
    """Fewer primes of a size exist than a chain needs.

    Args:
        bits: their size.
        wanted: how many the chain needs.
        found: how many there are.
        order: they must be 1 modulo this number.
    """

    def __init__(self, bits: int, wanted: int, found: int, order: int) -> None:
        self.bits, self.wanted, self.found, self.order = bits, wanted, found, order
        super().__init__(
            f"{wanted} primes of {bits} bits that are 1 mod {order} wanted; there are {found}"
        )


def is_prime(number: int) -> bool:
    """Whether ``number`` (below 2^64) is a prime; exact."""
    if number < 2:
        return False
    for witness in _WITNESSES:
        if number % witness == 0:
            return number == witness
    odd, twos = number - 1, 0
    while odd % 2 == 0:
        odd, twos = odd // 2, twos + 1
    return all(_passes(number, witness, odd, twos) for witness in _WITNESSES)


def order_of(log_n: int, ring: RingType = "standard") -> int:
    """What primes must be 1 modulo of: 2N, or 4N for a conjugate-invariant ring."""
    return int(2 ** (log_n + (2 if ring == "conjugate_invariant" else 1)))


@lru_cache(maxsize=1024)
def largest_primes(bits: int, order: int, count: int) -> tuple[int, ...]:
    """The ``count`` largest primes of ``bits`` bits that are 1 mod ``order``, largest first.

    Fewer if there are no more.
    """
    found: list[int] = []
    value = (2**bits - 1) // order * order + 1
    while len(found) < count and value > 2 ** (bits - 1):
        if value < 2**bits and is_prime(value):
            found.append(value)
        value -= order
    return tuple(found)


def primes_for(
    bit_sizes: Sequence[int], log_n: int, ring: RingType = "standard"
) -> tuple[int, ...]:
    """One prime for each entry of ``bit_sizes``, all different, as SEAL's ``CoeffModulus.Create``.

    Of each size the largest primes are taken; where a size is repeated, the smallest of them comes
    first and the largest last.

    Raises:
        NotEnoughPrimes: a size has too few.
    """
    order = order_of(log_n, ring)
    left: dict[int, list[int]] = {}
    for bits, count in Counter(bit_sizes).items():
        found = largest_primes(bits, order, count) if bits > 0 else ()
        if len(found) < count:
            raise NotEnoughPrimes(bits, count, len(found), order)
        left[bits] = list(found)
    return tuple(left[bits].pop() for bits in bit_sizes)


def primes_of(chain: Chain, log_n: int, ring: RingType = "standard") -> tuple[int, ...]:
    """The primes of ``chain``: the first one, those of the levels in order, the special ones.

    Raises:
        NotEnoughPrimes: a size has too few.
    """
    return primes_for((chain.first, *chain.levels, *chain.special), log_n, ring)


def available(bits: int, log_n: int, enough: int, ring: RingType = "standard") -> int:
    """How many primes of ``bits`` bits serve dimension ``2^log_n``; ``enough`` if at least that."""
    return len(largest_primes(bits, order_of(log_n, ring), enough)) if bits > 0 else 0


def nearest_size(bits: int, log_n: int, count: int, ring: RingType = "standard") -> int | None:
    """The size nearest to ``bits`` (the larger of two) with ``count`` primes; None if none has."""
    sizes = sorted(range(2, LARGEST_BITS + 1), key=lambda size: (abs(size - bits), -size))
    return next((size for size in sizes if available(size, log_n, count, ring) == count), None)


def _passes(number: int, witness: int, odd: int, twos: int) -> bool:
    power = pow(witness, odd, number)
    if power in (1, number - 1):
        return True
    for _ in range(twos - 1):
        power = power * power % number
        if power == number - 1:
            return True
    return False
