import pytest

from spaces.ckks.params import Chain
from spaces.ckks.primes import (
    NotEnoughPrimes,
    available,
    is_prime,
    largest_primes,
    nearest_size,
    order_of,
    primes_for,
    primes_of,
)


def test_small_primes_are_those_of_a_sieve() -> None:
    sieve = [True] * 5000
    for i in range(2, 5000):
        for j in range(i * i, 5000, i):
            sieve[j] = False
    assert [n for n in range(5000) if is_prime(n)] == [n for n in range(2, 5000) if sieve[n]]


@pytest.mark.parametrize("liar", [2047, 3215031751, 3474749660383, 341550071728321, 2**61 + 1])
def test_strong_pseudoprimes_are_not_primes(liar: int) -> None:
    assert not is_prime(liar)


def test_large_primes() -> None:
    assert is_prime(2**61 - 1)
    assert is_prime(2**60 - 2**14 + 1) == (2**60 - 2**14 + 1 in largest_primes(60, 2**14, 1))
    assert not is_prime((2**31 - 1) * (2**31 - 19))


@pytest.mark.parametrize(
    ("log_n", "sizes"),
    [
        (12, (30, 25, 45)),
        (13, (31, 26, 26, 26, 26, 26, 45)),
        (13, (60, 40, 40, 60)),
        (13, (40, 40, 40, 40)),
        (13, (26, 31, 26, 31, 60, 26)),
        (14, (45, *(35,) * 7, 60)),
        (14, (30, 31, 30, 31, 30, 59, 60, 59, 60)),
        (15, (50, *(40,) * 12, 60)),
    ],
)
def test_primes_are_those_of_seal(log_n: int, sizes: tuple[int, ...]) -> None:
    from tenseal import sealapi

    theirs = [m.value() for m in sealapi.CoeffModulus.Create(2**log_n, list(sizes))]
    assert list(primes_for(sizes, log_n)) == theirs


def test_primes_are_distinct_of_their_size_and_one_modulo_the_order() -> None:
    sizes = (40, 30, 30, 40, 40, 30)
    for ring in ("standard", "conjugate_invariant"):
        found = primes_for(sizes, 13, ring)  # type: ignore[arg-type]
        assert len(set(found)) == len(sizes)
        assert [p.bit_length() for p in found] == list(sizes)
        assert all(p % order_of(13, ring) == 1 and is_prime(p) for p in found)  # type: ignore[arg-type]
    assert order_of(13) == 2**14
    assert order_of(13, "conjugate_invariant") == 2**15


def test_a_chain_is_listed_first_levels_special() -> None:
    chain = Chain(31, (26, 27), (45,))
    assert [p.bit_length() for p in primes_of(chain, 13)] == [31, 26, 27, 45]


def test_too_few_primes_are_told_with_how_many_there_are() -> None:
    from tenseal import sealapi

    with pytest.raises(NotEnoughPrimes, match="there are") as caught:
        primes_for((20,) * 9, 15)
    error = caught.value
    assert (error.bits, error.wanted, error.order) == (20, 9, 2**16)
    assert error.found == available(20, 15, 100) < 9
    assert primes_for((20,) * error.found, 15)
    with pytest.raises(RuntimeError, match="qualifying primes"):
        sealapi.CoeffModulus.Create(2**15, [20] * 9)


def test_sizes_that_no_prime_can_have() -> None:
    assert available(12, 13, 5) == 0
    assert available(0, 13, 5) == 0
    assert available(40, 13, 5) == 5


def test_nearest_size_with_enough_primes() -> None:
    assert nearest_size(40, 13, 9) == 40
    near = nearest_size(12, 13, 5)
    assert near is not None
    assert available(near, 13, 5) == 5
    assert all(available(size, 13, 5) < 5 for size in range(12, near))
    assert nearest_size(62, 13, 3) == 60
    assert nearest_size(40, 59, 1) is None
