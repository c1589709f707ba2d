"""Static verdicts on many configurations of one packed network at once.

The same rules as for a single configuration, on arrays: what a search over thousands of modulus
chains costs is a few additions each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from evaluators.fhe.failures import FailureKind
from evaluators.fhe.static_rules import Facts, Logs, broken, facts_for, total_mb
from search.api.errors import ConfigError
from spaces.ckks.params import CkksParams, Drops, RingType
from spaces.ckks.primes import largest_primes, order_of
from spaces.ckks.rules import (
    LEAST_BITS,
    LEAST_HEADROOM,
    Demands,
    scale_for,
    switched_bits,
)

if TYPE_CHECKING:
    from evaluators.fhe.packed import PackedNetwork

Array = np.ndarray


@dataclass(frozen=True)
class ParamArrays:
    """k configurations of one ring.

    Args:
        log_n: log2 of the ring dimension.
        first: ``[k]``, bits of the first prime.
        levels: ``[k, most]``, bits of the primes of the levels; 0 behind the end of a chain.
        special: ``[k, most]``, bits of the special primes; 0 behind the last one.
        scale: ``[k]``, bits of the scale.
        secret_weight: ``[k]``, 0 for a dense secret.
        ring: type of the ring.
        drops: what drops a prime.
        weight_bits: ``[k]``, least bits of weights in pairs; 0 for none.

    Raises:
        ConfigError: the arrays have different lengths.
    """

    log_n: int
    first: Array
    levels: Array
    special: Array
    scale: Array
    secret_weight: Array
    ring: RingType = "standard"
    drops: Drops = "each"
    weight_bits: Array | float = 0.0

    def __post_init__(self) -> None:
        lengths = {len(a) for a in (self.first, self.levels, self.special, self.scale,
                                    self.secret_weight)}  # fmt: skip
        if len(lengths) != 1:
            raise ConfigError(f"arrays of one length expected (got lengths {sorted(lengths)})")

    @classmethod
    def of(cls, configurations: Sequence[CkksParams]) -> ParamArrays:
        """The arrays of configurations that share ring, dimension and drops.

        Raises:
            ConfigError: there is none, they do not share it, or one refreshes ciphertexts.
        """
        if any(c.bootstraps for c in configurations):
            raise ConfigError("configurations without bootstrapping expected")
        rings = {(c.log_n, c.ring, c.drops) for c in configurations}
        if len(rings) != 1:
            raise ConfigError(
                f"configurations of one ring and one kind of drops expected (got {sorted(rings)})"
            )
        ((log_n, ring, drops),) = rings
        return cls(
            log_n,
            np.array([c.chain.first for c in configurations]),
            _padded([c.chain.levels for c in configurations]),
            _padded([c.chain.special for c in configurations]),
            np.array([c.scale for c in configurations]),
            np.array([c.secret_weight or 0 for c in configurations]),
            ring,
            drops,
            np.array([c.weight_bits for c in configurations], dtype=float),
        )

    def __len__(self) -> int:
        return len(self.first)


@dataclass(frozen=True)
class Verdicts:
    """What the static rules say about k configurations.

    Args:
        broken: rule -> ``[k]``, whether it is broken.
        log_qp: ``[k]``, bits of all primes.
        slack: ``[k]``, bits of modulus that security still allows; NaN where no row covers it.
        key_mb: ``[k]``.
        plaintext_mb, upload_mb: the same for all.
    """

    broken: Mapping[FailureKind, Array]
    log_qp: Array
    slack: Array
    key_mb: Array
    plaintext_mb: float
    upload_mb: float

    @property
    def feasible(self) -> Array:
        """``[k]``, whether no rule is broken."""
        found: Array = ~np.logical_or.reduce(list(self.broken.values()))
        return found


def static_batch(
    packed: PackedNetwork | Facts,
    arrays: ParamArrays,
    demands: Demands | None = None,
    memory_limit_mb: float | None = None,
) -> Verdicts:
    """The verdicts on ``arrays``, equal to single ones.

    Args:
        packed: the network in the slots of that ring, or what is known of it already.
        arrays: configurations.
        demands: library and security; depth and range are the network's.
        memory_limit_mb: of keys and weights together; None for no limit.

    Raises:
        ConfigError: what is known is about other drops than those of ``arrays``.
    """
    facts = facts_for(packed, arrays.drops)
    demands = demands or Demands()
    limbs = 1 + (arrays.levels > 0).sum(axis=1)
    special = (arrays.special > 0).sum(axis=1)
    primes = _log_primes(arrays)
    # Chains without primes are told as such; nominal ones stand in where scales are followed.
    lacking = np.isnan(primes).any(axis=1, keepdims=True)
    data = np.where(lacking, _sizes(arrays), primes)[:, : 1 + arrays.levels.shape[1]]
    logs = Logs(arrays.log_n, data, limbs, special, arrays.scale.astype(float), arrays.weight_bits)
    log_qp = arrays.first + arrays.levels.sum(axis=1) + arrays.special.sum(axis=1)
    slack = _limits(arrays, demands) - log_qp
    outside = _outside(arrays, demands)
    found: dict[FailureKind, Array] = {
        "unsupported": _unsupported(arrays, special, demands) | outside,
        "insecure": ~(slack >= 0) & (not demands.security.allow_insecure),
        "depth": limbs - 1 < facts.depth,
        "overflow": arrays.first - arrays.scale
        < max(LEAST_HEADROOM, 1.0 + float(np.log2(facts.output_range))),
        "imprecise": _weak_special(arrays, special, facts.faint_rotations)
        | (arrays.scale < scale_for(1, arrays.log_n)),
        "no_primes": np.isnan(primes).any(axis=1) & ~outside,
    }
    for rule in broken(facts, logs, memory_limit_mb):
        hit = rule.excess > 0
        found[rule.rule] = found[rule.rule] | hit if rule.rule in found else hit
    keys, plain, upload = total_mb(facts, logs)
    return Verdicts(found, log_qp, slack, keys, plain, upload)


def _padded(rows: Sequence[tuple[int, ...]]) -> Array:
    out = np.zeros((len(rows), max(map(len, rows), default=0)), dtype=np.int64)
    for i, row in enumerate(rows):
        out[i, : len(row)] = row
    return out


def _sizes(arrays: ParamArrays) -> Array:
    return np.concatenate([arrays.first[:, None], arrays.levels, arrays.special], axis=1)


def _log_primes(arrays: ParamArrays) -> Array:
    """``[k, first + levels + special]``, log2 of the very primes; 0 for padding, NaN if none."""
    sizes = _sizes(arrays)
    behind = np.zeros(sizes.shape, dtype=np.int64)  # equal sizes further on in the chain
    for i in range(sizes.shape[1]):
        for j in range(i + 1, sizes.shape[1]):
            behind[:, i] += sizes[:, i] == sizes[:, j]
    order = order_of(arrays.log_n, arrays.ring)
    # Of equal sizes the last one in the chain gets the largest prime.
    table = np.full((int(sizes.max(initial=0)) + 1, int(behind.max(initial=0)) + 1), np.nan)
    table[0] = 0.0
    for bits in np.unique(sizes):
        if bits > 1:
            most = int(behind[sizes == bits].max()) + 1
            found = np.log2(np.array(largest_primes(int(bits), order, most), dtype=float))
            table[bits, : len(found)] = found
    return np.asarray(table[np.maximum(sizes, 0), behind])


def _outside(arrays: ParamArrays, demands: Demands) -> Array:
    """Whether a prime has a size that the library does not take."""
    small, large = demands.library.prime_bits
    sizes = _sizes(arrays)
    return np.asarray(((sizes != 0) & ((sizes < small) | (sizes > large))).any(axis=1))


def _limits(arrays: ParamArrays, demands: Demands) -> Array:
    """``[k]``, bits that security allows; NaN where no row covers the secret."""
    limits = np.full(len(arrays), np.nan)
    for weight in np.unique(arrays.secret_weight):
        limit = demands.security.limit(arrays.log_n, int(weight) or None)
        limits[arrays.secret_weight == weight] = np.nan if limit is None else limit
    return limits


def _unsupported(arrays: ParamArrays, special: Array, demands: Demands) -> Array:
    library = demands.library
    low, high = library.log_n
    whole = not low <= arrays.log_n <= high or arrays.ring not in library.rings
    sparse = (arrays.secret_weight > 0) & (not library.sparse_secrets)
    return np.asarray(whole | sparse | (special < 1) | (special > library.special))


def _weak_special(arrays: ParamArrays, special: Array, faint: bool) -> Array:
    data = np.concatenate([arrays.first[:, None], arrays.levels], axis=1)
    weak = np.zeros(len(arrays), dtype=bool)
    scale = arrays.scale
    if not faint:
        scale = scale + np.where(arrays.levels > 0, arrays.levels, 10_000).min(
            axis=1, initial=10_000
        ) % 10_000  # fmt: skip
    for count in np.unique(special[special > 0]):
        groups = [data[:, i : i + count].sum(axis=1) for i in range(0, data.shape[1], count)]
        short = np.max(groups, axis=0) - arrays.special.sum(axis=1)
        bits = switched_bits(scale, arrays.log_n, short)  # type: ignore[arg-type]
        weak |= (special == count) & (short > 0) & (bits < LEAST_BITS)
    return weak
