"""A complete CKKS configuration as plain data: what every rung, back end and export reads.

Words: a *limb* is one prime of the modulus of a ciphertext. A fresh ciphertext has
``chain.limbs`` of them; each rescaling drops one; one is left at the end (the first prime). The
*special* primes serve key switching alone. A *level* is a limb that can be dropped.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from search.api.errors import ConfigError

RingType = Literal["standard", "conjugate_invariant"]
InputPacking = Literal["plain", "rotated", "columns"]
Embedding = Literal["fold", "square"]
Rescaling = Literal["last", "soon"]
Drops = Literal["each", "paired"]
ActivationKind = Literal["own", "square", "polynomial", "sign_relu"]


@dataclass(frozen=True)
class Chain:
    """Bits of the primes of the modulus chain.

    Args:
        first: bits of the prime that is never dropped (q0).
        levels: bits of the primes that rescaling drops, in the order of the chain: the *last* entry
            is dropped first, by the first layer. Empty for a chain without a level.
        special: bits of the primes for key switching (P). SEAL takes exactly one.
    """

    first: int
    levels: tuple[int, ...]
    special: tuple[int, ...]

    @property
    def limbs(self) -> int:
        """Primes of a fresh ciphertext: the first one and one per level."""
        return 1 + len(self.levels)

    @property
    def log_q(self) -> int:
        """Bits of the modulus of a fresh ciphertext."""
        return self.first + sum(self.levels)

    @property
    def log_qp(self) -> int:
        """Bits of all primes, special ones included: what security is judged by."""
        return self.log_q + sum(self.special)


@dataclass(frozen=True)
class LayerPacking:
    """How one linear layer is evaluated.

    Args:
        site: name of the layer in the network's graph.
        embedding: ``fold``: partial sums of the wide input are added at the end by rotations, so
            that there are no more diagonals than (padded) outputs. ``square``: no such sums.
        baby: baby steps (a power of two, or 0 for the split with the least predicted time).
        rescaling: ``last``: after giant steps and partial sums, which leaves the least noise.
            ``soon``: before partial sums, and before giant steps where that is faster. Later
            rotations have one limb less, but each partial sum doubles the variance of the noise.
    """

    site: str
    embedding: Embedding = "fold"
    baby: int = 0
    rescaling: Rescaling = "last"


@dataclass(frozen=True)
class ActivationChoice:
    """What stands for one activation of the network under encryption.

    Args:
        site: name of the activation.
        kind: ``own``: the network's, which must be a polynomial. ``square``: x^2. ``polynomial``:
            the network's function fitted by a Chebyshev series of ``degree`` on the calibrated
            range times ``margin``. ``sign_relu``: x * (1 + sign(x)) / 2 with a composite
            polynomial sign of total ``degree``.
        degree: degree of the polynomial (2 for ``square``; unused for ``own``).
        margin: by how much the interval exceeds the range seen on calibration data; >= 1.
    """

    site: str
    kind: ActivationKind = "own"
    degree: int = 2
    margin: float = 2.0


@dataclass(frozen=True)
class CkksParams:
    """One CKKS configuration of one network.

    Args:
        log_n: log2 of the ring dimension N; there are N / 2 slots (N if conjugate invariant).
        chain: bits of the modulus chain.
        scale: bits of the scale that each linear layer restores in its result.
        ring: type of the ring.
        secret_weight: non-zero entries of a sparse ternary secret; None for a dense one.
        input_packing: how the client lays out its input. ``plain``: one ciphertext (as many as the
            slots demand). ``rotated``: the baby steps of the first layer are sent ready-made.
            ``columns``: the client sends what each output of the first layer needs (im2col), so
            that the layer needs no rotations besides partial sums.
        layers: per linear layer; layers that are not named have the defaults.
        activations: per activation; those not named have the default ``own``.
        bootstraps: sites before which the ciphertext is refreshed.
        drops: ``each``: every square and every linear map drops a prime. ``paired``: a square
            that only linear maps read drops none, and the prime that each of these drops has the
            bits of the scale and of the weights together: fewer and larger primes. Time depends on
            their number, not on their size.
        weight_bits: least bits of the scale of weights in pairs. Where a prime is too small for the
            scale and these, the result of the map has a larger scale; 0: it has the scale always.
    """

    log_n: int
    chain: Chain
    scale: int
    ring: RingType = "standard"
    secret_weight: int | None = None
    input_packing: InputPacking = "plain"
    layers: tuple[LayerPacking, ...] = ()
    activations: tuple[ActivationChoice, ...] = ()
    bootstraps: tuple[str, ...] = ()
    drops: Drops = "each"
    weight_bits: int = 0

    @property
    def n(self) -> int:
        """Ring dimension."""
        return int(2**self.log_n)

    @property
    def slots(self) -> int:
        """Numbers in one ciphertext."""
        return self.n if self.ring == "conjugate_invariant" else self.n // 2

    def layer(self, site: str) -> LayerPacking:
        """The packing of ``site``; the default if it is not named."""
        return next((c for c in self.layers if c.site == site), LayerPacking(site))

    def activation(self, site: str) -> ActivationChoice:
        """What stands at ``site``; the default if it is not named."""
        return next((c for c in self.activations if c.site == site), ActivationChoice(site))

    @classmethod
    def decode(cls, data: Any) -> CkksParams:
        """The configuration from its JSON form (what ``to_plain`` gives).

        Raises:
            ConfigError: the data has another form.
        """
        try:
            chain = data["chain"]
            return cls(
                log_n=_whole(data["log_n"]),
                chain=Chain(
                    _whole(chain["first"]),
                    tuple(_whole(b) for b in chain["levels"]),
                    tuple(_whole(b) for b in chain["special"]),
                ),
                scale=_whole(data["scale"]),
                ring=data.get("ring", "standard"),
                secret_weight=_maybe(data.get("secret_weight")),
                input_packing=data.get("input_packing", "plain"),
                layers=tuple(LayerPacking(**_mapping(e)) for e in data.get("layers", ())),
                activations=tuple(
                    ActivationChoice(**_mapping(e)) for e in data.get("activations", ())
                ),
                bootstraps=tuple(str(site) for site in data.get("bootstraps", ())),
                drops=data.get("drops", "each"),
                weight_bits=_whole(data.get("weight_bits", 0)),
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ConfigError(
                "not a CKKS configuration (expected {'log_n': ..., 'chain': {'first': ..., "
                f"'levels': [...], 'special': [...]}}, 'scale': ...}}; {type(error).__name__}: "
                f"{error})"
            ) from error


def _whole(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"expected a whole number (got {value!r})")
    return value


def _maybe(value: object) -> int | None:
    return None if value is None else _whole(value)


def _mapping(value: object) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise TypeError(f"expected a mapping (got {value!r})")
    return dict(value)
