"""A configuration for TenSEAL: a script that makes the context, and the same as data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from spaces.ckks.params import CkksParams
from spaces.ckks.primes import primes_of
from spaces.ckks.security import Security

# Largest ring dimension for which SEAL knows a limit; above it takes nothing at 128 bits.
_MOST_LOG_N = 15


def high_level_line(params: CkksParams) -> str:
    """The call of ``ts.context`` that gives the same ring and primes."""
    sizes = [params.chain.first, *params.chain.levels, *params.chain.special]
    return f"ts.context(ts.SCHEME_TYPE.CKKS, {params.n}, -1, {sizes})"


def obstacle(params: CkksParams) -> str | None:
    """Why ``ts.context`` does not take ``params``; None if it does.

    It enforces 128 bits by the standard of 2018 and cannot be told otherwise.
    """
    if params.log_n > _MOST_LOG_N:
        return f"it takes ring dimensions up to 2^{_MOST_LOG_N} (here 2^{params.log_n})"
    limit = Security(table="legacy_2018").limit(params.log_n)
    if limit is None or params.chain.log_qp > limit:
        return (
            f"it takes at most {limit} bit of primes at ring dimension 2^{params.log_n} "
            f"(here {params.chain.log_qp})"
        )
    return None


def beyond_high_level(steps: Sequence[int] | None) -> list[str]:
    """What this plan needs and the high-level interface has not, one sentence each.

    Args:
        steps: rotations of the plan, if they are known.
    """
    count = "the needed steps" if steps is None else f"the {len(steps)} steps needed here"
    return [
        "rotations by any step, and so products with diagonals: CKKSVector has sums and matmul",
        "weights encoded at a chosen level and scale, so that scales come out exactly",
        f"Galois keys for {count}: generate_galois_keys() makes those of all powers of two",
        "security by the guidelines of 2024: only the limits of 2018 are checked",
    ]


def context_data(
    params: CkksParams, steps: Sequence[int] | None, relinearise: bool | None
) -> dict[str, Any]:
    """The content of ``tenseal_context.json``.

    Args:
        params: the configuration.
        steps: rotations that need a Galois key; None if not known.
        relinearise: whether a relinearisation key is needed; None if not known.

    Raises:
        NotEnoughPrimes: a size has too few primes.
    """
    why = obstacle(params)
    return {
        "scheme": "CKKS",
        "poly_modulus_degree": params.n,
        "coeff_mod_bit_sizes": [params.chain.first, *params.chain.levels, *params.chain.special],
        "coeff_modulus": list(primes_of(params.chain, params.log_n, params.ring)),
        "global_scale": 2**params.scale,
        "galois_steps": None if steps is None else list(steps),
        "relinearise": relinearise,
        "high_level": {
            "line": high_level_line(params) if why is None else None,
            "why_not": why,
            "cannot": beyond_high_level(steps),
        },
    }


def context_script(
    params: CkksParams, steps: Sequence[int] | None, relinearise: bool | None
) -> str:
    """The text of ``tenseal_context.py``; arguments as for :func:`context_data`."""
    data = context_data(params, steps, relinearise)
    primes = "".join(f"    {prime},\n" for prime in data["coeff_modulus"])
    cannot = "".join(f"# - {line}\n" for line in data["high_level"]["cannot"])
    why = data["high_level"]["why_not"]
    if why is None:
        high = _HIGH.format(line=data["high_level"]["line"], scale=params.scale)
    else:
        high = f"# ts.context does not take these parameters: {why}.\n"
    return _SCRIPT.format(
        n=params.n,
        primes=primes,
        sizes=data["coeff_mod_bit_sizes"],
        scale=params.scale,
        steps=list(steps or ()),
        known="" if steps is not None else ": not known without the network",
        relinearise=relinearise is not False,
        cannot=cannot,
        high=high,
        check=_CHECK if why is None else "",
    )


_SCRIPT = '''\
"""CKKS parameters for TenSEAL. `python tenseal_context.py` makes the context and checks it.

context() and keys() use tenseal.sealapi, TenSEAL's low-level module, with the exact primes.
Security was judged before (parameters.json); the library's own check is off there.
"""

import tenseal.sealapi as sealapi

N = {n}
# In the order of the chain: the first is never dropped, the one before the last is dropped first,
# the last serves key switching.
PRIMES = [
{primes}]
BITS = {sizes}
SCALE = 2.0**{scale}
STEPS = {steps}  # rotations that need a Galois key{known}
RELINEARISE = {relinearise}


def context():
    """The context with exactly these primes."""
    parameters = sealapi.EncryptionParameters(sealapi.SCHEME_TYPE.CKKS)
    parameters.set_poly_modulus_degree(N)
    parameters.set_coeff_modulus([sealapi.Modulus(prime) for prime in PRIMES])
    made = sealapi.SEALContext(parameters, True, sealapi.SEC_LEVEL_TYPE.NONE)
    if not made.parameters_set():
        raise ValueError(made.parameters_error_message())
    return made


def keys(made):
    """Secret, Galois and relinearisation keys: fresh, and no more than the network needs."""
    generator = sealapi.KeyGenerator(made)
    galois, relin = sealapi.GaloisKeys(), sealapi.RelinKeys()
    if STEPS:
        generator.create_galois_keys([pow(3, step, 2 * N) for step in STEPS], galois)
    if RELINEARISE:
        generator.create_relin_keys(relin)
    return generator.secret_key(), galois, relin


# What the high-level interface cannot do for this network:
{cannot}
{high}

if __name__ == "__main__":
    data = context().first_context_data()
    print(f"ring dimension {{N}}, {{data.total_coeff_modulus_bit_count()}} bit in "
          f"{{len(PRIMES) - 1}} primes and one for key switching")
{check}'''

_HIGH = '''
def high_level():
    """The high-level context with the same primes (128 bit by the limits of 2018)."""
    import tenseal as ts

    made = {line}
    made.global_scale = 2**{scale}
    return made
'''

_CHECK = """\
    same = [m.value() for m in sealapi.CoeffModulus.Create(N, BITS)] == PRIMES
    print("ts.context gives", "the same primes" if same else "OTHER primes")
    high_level()
"""
