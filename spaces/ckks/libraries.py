"""What parameters each library takes, as far as a configuration can be judged without it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol

from spaces.ckks.params import RingType


class Takes(Protocol):
    """Ranges of parameters; a back end's own statement of its capabilities conforms."""

    @property
    def name(self) -> str:
        """Name for messages."""
        ...

    @property
    def log_n(self) -> tuple[int, int]:
        """Smallest and largest log2 of the ring dimension."""
        ...

    @property
    def prime_bits(self) -> tuple[int, int]:
        """Smallest and largest size of a prime."""
        ...

    @property
    def special(self) -> int:
        """Largest number of special primes."""
        ...

    @property
    def rings(self) -> tuple[RingType, ...]:
        """Types of ring."""
        ...

    @property
    def sparse_secrets(self) -> bool:
        """Whether the secret may be sparse."""
        ...

    @property
    def bootstraps(self) -> bool:
        """Whether it can refresh ciphertexts."""
        ...

    @property
    def pairs(self) -> bool:
        """Whether a square may wait for the linear map behind it to be rescaled."""
        ...


@dataclass(frozen=True)
class Library:
    """What a library takes; fields as in :class:`Takes`."""

    name: str
    log_n: tuple[int, int]
    prime_bits: tuple[int, int]
    special: int
    rings: tuple[RingType, ...]
    sparse_secrets: bool
    bootstraps: bool
    pairs: bool


SEAL = Library("seal", (10, 17), (2, 60), 1, ("standard",), False, False, True)
"""Microsoft SEAL 4.1, as TenSEAL carries it. Source: ``seal/util/defines.h`` (dimensions to 2^17,
primes of 2 to 60 bits); one prime for key switching; dense ternary secrets; no bootstrapping. Our
own engine runs it, which rescales wherever a plan says so."""

LATTIGO = Library(
    "lattigo", (10, 17), (2, 60), 8, ("standard", "conjugate_invariant"), True, True, False
)
"""Lattigo 6, below Orion. Source: ``core/rlwe/params.go``. Special primes may be several. Orion's
compiler rescales after every step."""

LIBRARIES: Mapping[str, Library] = MappingProxyType({lib.name: lib for lib in (SEAL, LATTIGO)})
"""Name -> library."""
