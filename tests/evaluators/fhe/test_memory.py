import numpy as np
import pytest

from evaluators.fhe.memory import key_mb, plaintext_mb, upload_mb


@pytest.mark.parametrize("limbs", [1, 3, 5])
def test_key_sizes_are_those_of_seal(limbs: int) -> None:
    """An uncompressed key of SEAL, less its headers."""
    from tenseal import sealapi

    n = 4096
    parms = sealapi.EncryptionParameters(sealapi.SCHEME_TYPE.CKKS)
    parms.set_poly_modulus_degree(n)
    parms.set_coeff_modulus(sealapi.CoeffModulus.Create(n, [20] * 0 + [30] * (limbs + 1)))
    context = sealapi.SEALContext(parms, True, sealapi.SEC_LEVEL_TYPE.NONE)
    keys = sealapi.KeyGenerator(context)
    made = sealapi.GaloisKeys()
    keys.create_galois_keys([3, 9], made)
    one = made.data()[1] if made.data()[1] else made.data()[0]
    words = sum(
        part.data().size() * part.data().poly_modulus_degree() * part.data().coeff_modulus_size()
        for part in one
    )
    assert key_mb(1, np.array([limbs]), np.array([1]), n)[0] == pytest.approx(words * 8 / 1e6)


def test_sizes_by_hand() -> None:
    assert key_mb(27, np.array([6]), np.array([1]), 8192)[0] == 27 * 2 * 6 * 7 * 8192 * 8 / 1e6
    assert key_mb(1, np.array([5]), np.array([2]), 1024)[0] == 2 * 3 * 7 * 1024 * 8 / 1e6
    assert plaintext_mb([(6, 128), (2, 10)], 8192) == (6 * 128 + 20) * 8192 * 8 / 1e6
    assert upload_mb(2, 6, 8192) == 2 * 6 * 8192 * 8 / 1e6
