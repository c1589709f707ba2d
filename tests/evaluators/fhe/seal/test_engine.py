"""Parameter sets and keys of SEAL."""

import stat
from pathlib import Path

import numpy as np
import pytest
import tenseal.sealapi as sealapi

from evaluators.fhe.seal import engine
from spaces.ckks.params import Chain
from spaces.ckks.primes import primes_of

LOG_N, SCALE = 12, 2.0**35
PRIMES = primes_of(Chain(45, (35,) * 6, (55,)), LOG_N)


@pytest.fixture(scope="module")
def scheme() -> engine.Scheme:
    return engine.Scheme(LOG_N, PRIMES[:-1], PRIMES[-1:])


def test_a_level_beyond_the_chain_is_a_matter_of_depth(scheme: engine.Scheme) -> None:
    with pytest.raises(engine.EngineError, match="8 limbs .the chain has 7") as error:
        scheme.level(8)
    assert error.value.kind == "depth"


def test_primes_that_do_not_fit_the_ring_are_refused() -> None:
    with pytest.raises(engine.EngineError) as error:
        engine.Scheme(LOG_N, (1_000_003, PRIMES[0]), PRIMES[-1:])
    assert error.value.kind == "no_primes"
    with pytest.raises(engine.EngineError, match="one"):
        engine.Scheme(LOG_N, PRIMES[:2], PRIMES[2:4])


def test_a_rotation_moves_slots_to_the_left(scheme: engine.Scheme) -> None:
    keys = engine.Keys(scheme, (3,), False)
    x = np.arange(2048) / 2048
    cipher = keys.encrypt(x, 1, SCALE)
    scheme.evaluator.apply_galois_inplace(cipher, engine.galois_element(3, 4096), keys.galois)
    assert np.abs(keys.decrypt(cipher) - np.roll(x, -3)).max() < 2**-18


def test_keys_are_saved_for_their_owner_alone(scheme: engine.Scheme, tmp_path: Path) -> None:
    folder = tmp_path / "keys"
    keys = engine.Keys(scheme, (1,), relinearise=True)
    keys.save(folder)
    keys.save(folder)  # and again: an older secret is replaced
    assert {file.name for file in folder.iterdir()} == {"secret.key", "galois.key", "relin.key"}
    assert stat.S_IMODE((folder / "secret.key").stat().st_mode) == 0o600
    secret = sealapi.SecretKey()
    secret.load(scheme.context, str(folder / "secret.key"))
    values = np.arange(scheme.n // 2) % 7 / 7
    plain = sealapi.Plaintext()
    sealapi.Decryptor(scheme.context, secret).decrypt(keys.encrypt(values, 1, 2.0**20), plain)
    np.testing.assert_allclose(scheme.encoder.decode_double(plain), values, atol=1e-2)
