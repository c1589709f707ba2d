import pytest

from spaces.ckks.libraries import LATTIGO, LIBRARIES, SEAL
from spaces.ckks.primes import LARGEST_BITS


def test_libraries_go_by_their_names() -> None:
    assert dict(LIBRARIES) == {"seal": SEAL, "lattigo": LATTIGO}


@pytest.mark.parametrize("log_n", SEAL.log_n)
def test_seal_takes_the_dimensions_at_the_ends_of_its_range(log_n: int) -> None:
    from tenseal import sealapi

    assert sealapi.CoeffModulus.Create(2**log_n, [40])[0].bit_count() == 40


def test_seal_takes_primes_up_to_its_largest_and_no_larger() -> None:
    from tenseal import sealapi

    assert SEAL.prime_bits[1] == LARGEST_BITS
    assert sealapi.CoeffModulus.Create(2**13, [LARGEST_BITS])
    with pytest.raises(ValueError, match="bit_sizes"):
        sealapi.CoeffModulus.Create(2**13, [LARGEST_BITS + 1])
