"""What makes a configuration fail, told without running it: by how much, why, and a way out.

Each rule is a pure function of a configuration. Names of rules are those that the back ends use
for the same failure (``insecure``, ``depth``, ``overflow``, ...), so that a study sees one word for
one cause, whichever rung finds it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from search.api.candidate import Violation
from spaces.ckks.libraries import SEAL, Takes
from spaces.ckks.params import CkksParams
from spaces.ckks.primes import LARGEST_BITS, NotEnoughPrimes, nearest_size, primes_of
from spaces.ckks.security import Security, is_sparse

NOISE_BITS = 6.5
"""Bits of a scale lost to noise besides half of log2 N. Source: fitted to encrypted runs of three
networks at N = 2^13 and 2^14 (precision = scale - log2(N) / 2 - 6.5, within about 1 bit)."""
SAFE_GAP = 10
"""Bits by which the special prime should exceed the first one: from there SEAL's key-switching
bias drowns in other noise (measured at N = 2^13 and 2^14)."""
LEAST_BITS = 4.0
"""Mean precision below which an answer is none; as the encrypted rung's default."""
SAFE_HEADROOM = 5
"""Bits between first prime and scale below which a value of 16 wraps around."""
LEAST_HEADROOM = 2
"""Bits between first prime and scale below which SEAL refuses to encode the last bias ('scale out
of bounds'). Source: ``seal/ckks.h``, encode: log2(scale) + 1 must be less than the bits left."""
WEIGHTS_TO_SCALE = 1
"""By how many bits weights in pairs may lie below the scale of values and cost as little. Source:
enumerated with the noise model, of which encrypted runs are within 0.4 bit: 2 bits for MLP and LoLa
at N = 2^13, half a bit for LeNet at N = 2^14."""
_MANY = 1000.0  # excess of what no amount would mend, as for a dimension no table has


@dataclass(frozen=True)
class Demands:
    """What a configuration is judged by.

    Args:
        depth: levels that the network needs; None if not known.
        output_range: largest absolute value at the end of the chain; 1 if not known.
        library: what the back end takes.
        security: table and bits.
        faint_rotations: whether ciphertexts are rotated at the scale itself; None if not known.
            What is rotated before rescaling stands high above the noise of key switching.
        pairs: of each level, that next to the first prime first, whether a square and the linear
            map behind it drop it together; None if not known.
        followed: whether somebody else follows scales, prime by prime: then what can be said of
            them without a network is not.
    """

    depth: int | None = None
    output_range: float = 1.0
    library: Takes = SEAL
    security: Security = field(default_factory=Security)
    faint_rotations: bool | None = None
    pairs: tuple[bool, ...] | None = None
    followed: bool = False


def violations(params: CkksParams, demands: Demands) -> tuple[Violation, ...]:
    """Every rule that ``params`` break; empty if they may be run."""
    return tuple(_broken(params, demands))


def is_legal(params: CkksParams, demands: Demands) -> bool:
    """Whether ``params`` break no rule; faster than :func:`violations` where they do."""
    return next(_broken(params, demands), None) is None


def _broken(params: CkksParams, demands: Demands) -> Iterator[Violation]:
    yield from _unsupported(params, demands.library)
    yield from _insecure(params, demands.security)
    yield from _depth(params, demands.depth)
    yield from _headroom(params, demands)
    yield from _special(params, demands.faint_rotations)
    yield from _scales(params, demands)
    yield from _prime_sizes(params, demands.library)  # last: primes must be found to be counted


def expected_bits(scale: float, log_n: int) -> float:
    """Bits of precision to expect of a scale: ``scale - log2(N) / 2 - 6.5``.

    Source: :data:`NOISE_BITS`. A rule of thumb for synthesis; the noise model says more.
    """
    return scale - log_n / 2 - NOISE_BITS


def scale_for(bits: float, log_n: int) -> int:
    """The least scale, in bits, that is expected to give ``bits`` of precision."""
    return math.ceil(bits + log_n / 2 + NOISE_BITS)


def weight_floor(coefficients: int) -> float:
    """Least log2 of the scale of encoded weights: below it their rounding alone costs the answer.

    Rounding leaves ``log2(coefficients / 12) / 2`` bits in each slot. Source of the rest: encrypted
    runs of small networks that lost the answer with weights of 9.6 bits and kept it with 10.

    Args:
        coefficients: that are not 0, of N: weights that repeat after p slots are polynomials in
            ``X^(N / 2p)`` and have 2p.
    """
    return math.log2(coefficients) / 2 + 5.4


def least_weight_bits(log_n: int) -> int:
    """Least bits of encoded weights where nothing is known of how they repeat."""
    return math.ceil(weight_floor(2**log_n))


def effective_scale(scale: float, weight_bits: float | None) -> float:
    """The scale that gives as much precision where weights have it, too.

    Args:
        scale: bits of the scale of values.
        weight_bits: bits of the scale of weights in pairs; None if no prime is dropped in pairs.
    """
    return scale if weight_bits is None else min(scale, weight_bits + WEIGHTS_TO_SCALE)


def pair_bits(scale: int, weight_bits: int) -> int:
    """Bits of a prime that a square and the linear map behind it drop: no more than exist."""
    return min(LARGEST_BITS, scale + weight_bits)


def special_for(first: int, gap: int = SAFE_GAP + 2) -> int:
    """Bits of the special prime: ``gap`` more than the first prime, and no more than exist."""
    return min(LARGEST_BITS, first + gap)


def warnings(params: CkksParams, demands: Demands) -> tuple[str, ...]:
    """What is legal but worth a word: one sentence each."""
    found = []
    chain, security = params.chain, demands.security
    if security.allow_insecure:
        found.append("security is not enforced (allow_insecure): never use this with real data")
    if security.table == "legacy_2018":
        found.append("judged by the standard of 2018; the guidelines of 2024 allow less")
    if is_sparse(params.log_n, params.secret_weight):
        found.append(
            f"sparse secret of weight {params.secret_weight}: its limit is interpolated between "
            "draft rows that their authors marked for removal; a dense secret is the safe choice"
        )
    if len(chain.special) == 1 and 0 <= chain.special[0] - chain.first < SAFE_GAP:
        found.append(
            f"the special prime has {chain.special[0]} bits, the first one {chain.first}: with "
            f"{SAFE_GAP} bits more than the first, SEAL's key switching costs no precision "
            f"(take {special_for(chain.first)}; it costs no time)"
        )
    others = sorted({bits for bits in chain.levels if bits != params.scale})
    if others and params.drops == "each":
        found.append(
            f"scale of {params.scale} bits, but primes of {', '.join(map(str, others))} bits are "
            "dropped: scales then differ from layer to layer"
        )
    if 1 <= chain.first - params.scale < SAFE_HEADROOM:
        found.append(
            f"the first prime has {chain.first - params.scale} bits more than the scale: results "
            f"with coefficients beyond {2.0 ** (chain.first - params.scale - 1):g} (no larger than "
            "the largest result, and mostly far smaller) wrap around without an error"
        )
    return tuple(found)


def _unsupported(params: CkksParams, library: Takes) -> Iterator[Violation]:
    low, high = library.log_n
    if not low <= params.log_n <= high:
        near = min(high, max(low, params.log_n))
        yield Violation(
            "unsupported",
            f"log_n: got {params.log_n}; {library.name} takes {low} to {high}. Nearest: {near}",
            float(abs(params.log_n - near)),
            "1",
        )
    if params.ring not in library.rings:
        yield _lacks(f"ring: {library.name} has no {params.ring} ring. "
                     f"Nearest: {', '.join(library.rings)}")  # fmt: skip
    if params.secret_weight is not None and not library.sparse_secrets:
        yield _lacks(f"secret_weight: got {params.secret_weight}; secrets of {library.name} are "
                     "dense. Leave it out")  # fmt: skip
    if params.bootstraps and not library.bootstraps:
        yield _lacks(f"bootstraps: {library.name} cannot refresh a ciphertext at "
                     f"{', '.join(params.bootstraps)}; the chain must hold all levels")  # fmt: skip
    if params.drops == "paired" and not library.pairs:
        yield _lacks(f"drops: got paired; {library.name} rescales after every step. Nearest: each")
    count = len(params.chain.special)
    if not 1 <= count <= library.special:
        allowed = "exactly 1" if library.special == 1 else f"1 to {library.special}"
        near = 1 if count == 0 else library.special
        yield Violation(
            "unsupported",
            f"special primes: got {count}; {library.name} takes {allowed}. Without one, "
            f"ciphertexts can be neither rotated nor multiplied with each other. Nearest: {near}",
            float(abs(count - near)),
            "1",
        )


def _insecure(params: CkksParams, security: Security) -> Iterator[Violation]:
    if security.allow_insecure:
        return
    total = params.chain.log_qp
    limit = security.limit(params.log_n, params.secret_weight)
    if limit is not None and total <= limit:
        return
    words = f"{security.bits} bit of security ({security.table})"
    nearest = security.smallest_log_n(total, params.secret_weight)
    bigger = f"log_n {nearest}" if nearest is not None else "no ring dimension allows that many"
    if limit is None:
        secret = (
            f" and a secret of weight {params.secret_weight}"
            if is_sparse(params.log_n, params.secret_weight)
            else ""
        )
        detail = (
            f"log_n {params.log_n}{secret}: the table gives no modulus with {words}, so nothing is "
            f"known to be safe. Nearest: {bigger}"
        )
        yield Violation("insecure", detail, _MANY, "bit")
        return
    over = total - limit
    detail = (
        f"all primes together: got {total} bit; at most {limit} at N = 2^{params.log_n} for "
        f"{words}, {over} too many. Special primes count. The larger the modulus, the easier the "
        f"key is found. Nearest: {bigger}, or {over} bit less (a smaller scale, fewer levels)"
    )
    yield Violation("insecure", detail, float(over), "bit")


def _prime_sizes(params: CkksParams, library: Takes) -> Iterator[Violation]:
    chain = params.chain
    small, large = library.prime_bits
    sizes = (chain.first, *chain.levels, *chain.special)
    outside = [bits for bits in sizes if not small <= bits <= large]
    if outside:
        far = max(outside, key=lambda bits: max(bits - large, small - bits))
        near = min(large, max(small, far))
        detail = (
            f"prime of {far} bits: {library.name} takes {small} to {large}, since residues must "
            f"fit a machine word with room to spare. Nearest: {near}"
        )
        yield Violation("unsupported", detail, float(abs(far - near)), "bit")
        return
    try:
        primes_of(chain, params.log_n, params.ring)
    except NotEnoughPrimes as error:
        near_size = nearest_size(error.bits, params.log_n, error.wanted, params.ring)
        detail = (
            f"{error.wanted} primes of {error.bits} bits: there are {error.found} that are 1 mod "
            f"{error.order}, which fast multiplication in this ring needs (SEAL says 'failed to "
            f"find enough qualifying primes'). Nearest: {near_size} bits"
        )
        excess = abs(near_size - error.bits) if near_size is not None else _MANY
        yield Violation("no_primes", detail, float(excess), "bit")


def _depth(params: CkksParams, depth: int | None) -> Iterator[Violation]:
    if depth is None or params.bootstraps:
        return
    missing = depth - len(params.chain.levels)
    if missing > 0:
        detail = (
            f"levels: got {len(params.chain.levels)}; the network needs {depth}, {missing} more. "
            "Each layer and each activation uses up one prime; when none is left, TenSEAL says "
            f"'scale out of bounds'. Nearest: {depth} primes between the first and the special one"
        )
        yield Violation("depth", detail, float(missing), "1")


def final_scale(scale: int, weight_bits: int, levels: Sequence[int], pairs: Sequence[bool]) -> int:
    """Bits of the scale of outputs: more than the scale where primes of pairs are too small.

    Args:
        scale: of the input and behind every layer, if primes allow.
        weight_bits: least bits of weights in pairs; 0 for none.
        levels: bits of primes, that next to the first one first.
        pairs: of each level in use, whether a pair drops it.
    """
    found = scale
    for bits, pair in reversed(list(zip(levels, pairs, strict=False))):
        found = max(scale, 2 * found + weight_bits - bits) if pair else scale
    return found


def _headroom(params: CkksParams, demands: Demands) -> Iterator[Violation]:
    # |y| * scale < q / 2 at the end, where the first prime alone is left.
    output_range = demands.output_range
    needed = 1.0 + math.log2(max(output_range, 1e-300))
    scale = final_scale(params.scale, params.weight_bits, params.chain.levels, demands.pairs or ())
    room = params.chain.first - scale
    if room < max(LEAST_HEADROOM, needed):
        least = max(LEAST_HEADROOM, math.ceil(needed))
        detail = (
            f"head-room: the first prime has {room} bits more than the scale; at least {least} for "
            f"results up to {max(output_range, 1.0):.4g} (coefficients, once packed), which "
            "otherwise wrap around without an error. Nearest: a first prime of "
            f"{scale + least} bits"
        )
        yield Violation("overflow", detail, float(least - room), "bit")


def switching_noise(log_n: float) -> float:
    """log2 of the largest error of a slot by one key switching whose special prime equals q0.

    Digits of SEAL are not centred, so their mean meets the noise of the key: concentrated in the
    first slots. Measured 2^16.2 at N = 2^13; the mean over a digit's coefficients grows with N and
    the noise with its root.
    """
    return 16.2 + 1.5 * (log_n - 13)


def switched_bits(scale: float, log_n: float, short: float) -> float:
    """Bits left after one key switching of values at ``scale`` bits.

    Args:
        scale: of the values.
        log_n: log2 of the ring dimension.
        short: bits by which the special prime is less than the primes that it serves.
    """
    return scale - switching_noise(log_n) - short


def _special(params: CkksParams, faint: bool | None) -> Iterator[Violation]:
    chain = params.chain
    count = len(chain.special)
    if not count:
        return
    data = (chain.first, *chain.levels)
    # Key switching takes the data primes in groups as large as there are special primes.
    largest = max(sum(data[i : i + count]) for i in range(0, len(data), count))
    short = largest - sum(chain.special)
    scale = params.scale if faint else params.scale + min(chain.levels, default=0)
    bits = -math.inf if faint is None else switched_bits(scale, params.log_n, short)
    if short > 0 and bits < LEAST_BITS:
        detail = (
            f"special prime: got {sum(chain.special)} bit; at least {largest} (no less than any "
            f"prime it serves), {short} more. Key switching divides its noise by the special "
            f"prime: a smaller one leaves garbage without an error. Nearest: {largest}; "
            f"{special_for(largest)} costs nothing more and is better"
        )
        yield Violation("imprecise", detail, float(short), "bit")


def _scales(params: CkksParams, demands: Demands) -> Iterator[Violation]:
    floor = scale_for(1.0, params.log_n)
    if params.scale < floor:
        detail = (
            f"scale: got {params.scale} bits; noise alone takes {floor - 1} at N = 2^"
            f"{params.log_n}, so not one bit of the answer would be right. Nearest: {floor}"
        )
        yield Violation("imprecise", detail, float(floor - params.scale), "bit")
        return
    pairs = demands.pairs
    if demands.followed or (params.drops == "paired" and pairs is None):
        return  # which primes are pairs' is the network's
    levels = params.chain.levels[: demands.depth]  # inputs are encrypted below spare primes
    paired = (*(pairs or ()), *(False,) * len(levels))
    shared = [b for b, pair in zip(levels, paired, strict=False) if pair]
    alone = [b for b, pair in zip(levels, paired, strict=False) if not pair]
    least = least_weight_bits(params.log_n)
    if shared and max(params.weight_bits, min(shared) - params.scale) < least:
        yield _faint_pair(min(shared), params.scale, least)
        return
    for bits in (min(alone, default=None), max(alone, default=None)):
        if bits is None:
            continue
        # A square has scale 2s - b; the weights behind it are encoded at 2b - s.
        square, weights = 2 * params.scale - bits, 2 * bits - params.scale
        short = max(floor - square, least - weights)
        if short > 0:
            detail = (
                f"scale: got {params.scale} bits with a prime of {bits} bits; each rescaling "
                "divides by such a prime, so the scale after it should be the scale before "
                f"(now 2^{square} after a square, 2^{weights} for weights), else results drown in "
                f"noise without an error. Nearest: a scale of {bits} bits"
            )
            yield Violation("scale_mismatch", detail, float(short), "bit")
            return


def _faint_pair(bits: int, scale: int, least: int) -> Violation:
    weights = bits - scale
    detail = (
        f"pairs: a prime of {bits} bits drops the scale of a square, {2 * scale} bits, and leaves "
        f"{weights} to the weights behind it; at least {least}, else they are rounded away. "
        f"Nearest: a prime of {scale + least} bits"
        + (f", which none has; a scale of {LARGEST_BITS - least}" if scale + least > LARGEST_BITS
           else "")
    )  # fmt: skip
    return Violation("scale_mismatch", detail, float(least - weights), "bit")


def _lacks(detail: str) -> Violation:
    return Violation("unsupported", detail, 1.0, "1")
