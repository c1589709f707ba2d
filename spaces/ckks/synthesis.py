"""Direct synthesis: the configuration that a network's needs imply, mended only where it failed.

The smallest ring dimension whose slots suffice and whose table leaves room for the scale that the
wanted precision takes; the largest scale that fits there, since scale costs no time; a special
prime of 12 bits more than the first. Where squares and linear maps can share a prime and give
the precision, they do: it is faster. After a failure the one quantity behind it moves: precision a
larger scale or dimension, depth one more level, overflow a larger first prime, memory another
packing. Where the scale has bits to spare, layers rescale as soon as that saves time.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from search.api.domain import (
    Domain,
    Integer,
    Point,
    Scalar,
    Value,
    Vector,
    is_active,
    point_digest,
)
from search.api.metric import Constraint
from search.api.trial import Trial
from spaces.ckks.rules import (
    SAFE_GAP,
    SAFE_HEADROOM,
    WEIGHTS_TO_SCALE,
    effective_scale,
    expected_bits,
)

if TYPE_CHECKING:
    from spaces.ckks.space import CkksSpace

RESERVE = 1.0
"""Bits aimed at beyond the target: precision varies by about 0.35 bit (standard deviation) over
fresh keys and inputs (measured over 10 runs of one network)."""

SOON_BITS = 4.0
"""Bits that precision may fall short of the rule of thumb where layers rescale as soon as that
saves time (MLP 1.0 to 1.2, LoLa 1.8 at N = 2^13, encrypted; LeNet 3.9 at N = 2^14 by the noise
model). Where they rescale last, the same networks exceed it by 0.9 to 2.2 bits."""

_WORDS = ("insecure", "depth", "no_primes", "overflow", "scale_mismatch", "slots", "memory",
          "crash", "timeout", "imprecise", "unsupported")  # fmt: skip
_MEMORY = ("memory", "key_mb", "plaintext_mb", "upload_mb")
_LARGEST_STEP = 8.0  # bits asked for after one failure; a measured miss beyond it says little


@dataclass(frozen=True)
class Needs:
    """What a configuration must have; each failure raises one of them.

    Args:
        bits: of precision, by the rule of thumb.
        headroom: bits of the first prime beyond the scale.
        spare: levels beyond those counted.
        log_n: least log2 of the ring dimension.
        packing: how many packings have been given up.
        degree: by how many steps the degree of fitted polynomials is raised.
    """

    bits: float
    headroom: int
    spare: int = 0
    log_n: int = 0
    packing: int = 0
    degree: int = 0


class Synthesis:
    """Proposes for one space.

    Args:
        space: the space.
    """

    def __init__(self, space: CkksSpace) -> None:
        self._space = space
        self._domains = {p.name: p.domain for p in space.params()}

    def next(self, trials: Sequence[Trial], constraints: Sequence[str]) -> Point | None:
        """The first proposal, or the mended one after those that failed.

        Args:
            trials: all that ran; those that are none of its own proposals are ignored.
            constraints: of the study, such as ``precision_ckks >= 12 bit``.

        Returns:
            a legal point; None if the last one held, is still running, or nothing mends it.
        """
        told = {point_digest(trial.point): trial for trial in trials}
        needs = self.first_needs(constraints)
        seen: set[str] = set()
        while True:
            point = self.point(needs)
            if point is None or point_digest(point) in seen:
                return None
            seen.add(point_digest(point))
            trial = told.get(point_digest(point))
            if trial is None:
                return point
            if trial.feasible or trial.status == "running":
                return None
            mended = self._mended(needs, point, failures(trial))
            if mended is None:
                return None
            needs = mended

    def first_needs(self, constraints: Sequence[str]) -> Needs:
        """What is needed before anything has run."""
        config = self._space.config
        target = target_precision(constraints) or config.target_precision
        wanted = max(0, math.ceil(math.log2(config.output_range))) + SAFE_HEADROOM
        return Needs(target + RESERVE, min(wanted, max(self._options("headroom"))))

    def point(self, needs: Needs) -> Point | None:
        """The smallest legal configuration that has what is needed, or the best there is.

        None if no configuration is legal.
        """
        best: tuple[float, Point] | None = None
        ways = itertools.product(self._dimensions(needs.log_n), self._drops())
        for log_n, drops in ways:
            found = self._at(log_n, drops, needs)
            if found is None:
                continue
            bits = self._expected(found)
            if bits >= needs.bits:
                return found
            if best is None or bits > best[0]:
                best = (bits, found)
        return None if best is None else best[1]

    def _expected(self, point: Point) -> float:
        """Bits of precision by the rule of thumb."""
        values = self._space.complete(point)
        lost = SOON_BITS if values.get("rescaling") == "soon" else 0.0
        scale: Any = values["scale"]
        if values["drops"] == "paired":
            scale = effective_scale(scale, values["weight_bits"])  # type: ignore[arg-type]
        return expected_bits(scale, int(values["log_n"])) - lost  # type: ignore[arg-type]

    def _dimensions(self, least: int) -> list[int]:
        """log2 of the dimensions to try, smallest first; those with too few slots only if all."""
        known = self._options("log_n")
        fitting = [n for n in known if n >= least]
        layers = self._space.layers
        roomy = [n for n in fitting if layers is None or 2 ** (n - 1) >= layers.widest]
        return roomy or fitting[-1:]

    def _drops(self) -> list[Any]:
        """What may drop primes, the faster first."""
        return sorted(self._options("drops"), key=("paired", "each").index)

    def _sizes(self, drops: str) -> list[tuple[int, int]]:
        """(scale, bits of weights in pairs), the most precise first."""
        scales = self._options("scale")
        if drops == "each":
            return [(scale, 0) for scale in reversed(scales)]
        known = self._options("weight_bits")
        found = []
        for scale in scales:
            wanted = scale - WEIGHTS_TO_SCALE
            found.append((scale, min(known, key=lambda bits: abs(bits - wanted))))
        return sorted(found, key=lambda size: (-effective_scale(*size), size[0]))

    def _at(self, log_n: int, drops: str, needs: Needs) -> Point | None:
        """The most precise scale that is legal at this dimension."""
        for scale, weights in self._sizes(drops):
            effective = scale if drops == "each" else effective_scale(scale, weights)
            spare = expected_bits(effective, log_n) - SOON_BITS >= needs.bits
            wanted: dict[str, Value] = {
                "log_n": log_n, "drops": drops, "scale": scale, "weight_bits": weights,
                "rescaling": "soon" if spare else "last",
            }  # fmt: skip
            point = self._complete({**self._choices(needs), **wanted})
            if point is not None and not self._space.check(point):
                return point
        return None

    def _choices(self, needs: Needs) -> dict[str, Value]:
        """Everything but dimension and scale."""
        packings = self._packings()
        degrees = self._options("degree") or [0]
        return {
            "headroom": needs.headroom,
            "spare_levels": needs.spare,
            "special_gap": SAFE_GAP + 2,
            "level_offset": 0,
            "secret_weight": 0,
            "input_packing": packings[min(needs.packing, len(packings) - 1)],
            "degree": degrees[min(len(degrees) - 1, len(degrees) // 2 + needs.degree)],
        }

    def _complete(self, wanted: Mapping[str, Value]) -> Point | None:
        """A point with the wanted values; None where a need lies beyond its domain.

        Of what is not wanted the first option is taken: options stand in order of preference.
        """
        point: dict[str, Value] = {}
        for param in self._space.params():
            if not is_active(param, point):
                continue
            point[param.name] = _nearest(param.domain, wanted.get(param.name))
        values = self._space.complete(point)
        short = any(values[n] < wanted[n] for n in ("headroom", "spare_levels"))  # type: ignore[operator]
        return None if short else point

    def _mended(self, needs: Needs, point: Point, words: Mapping[str, float]) -> Needs | None:
        """What is needed after ``point`` failed so; None if nothing here mends it."""
        values = self._space.complete(point)
        log_n, mended = int(values["log_n"]), needs  # type: ignore[arg-type]
        for word, excess in words.items():
            step = max(1, math.ceil(min(excess, _LARGEST_STEP)))
            if word == "imprecise":
                mended = self._preciser(mended, point, step)
            elif word in ("no_primes", "scale_mismatch"):
                mended = self._preciser(mended, point, 1)  # other primes: those of the next scale
            elif word == "depth":
                mended = replace(mended, spare=mended.spare + step)
            elif word == "overflow":
                mended = replace(mended, headroom=int(values["headroom"]) + step)  # type: ignore[arg-type]
            elif word in ("insecure", "slots"):
                mended = replace(mended, log_n=log_n + 1)
            elif word in ("memory", "timeout", "crash"):
                if mended.packing + 1 >= len(self._packings()):
                    return None
                mended = replace(mended, packing=mended.packing + 1)
        return None if mended == needs else mended

    def _preciser(self, needs: Needs, point: Point, step: int) -> Needs:
        """Rescaling last, a larger scale or dimension, else polynomials of higher degree."""
        more = replace(needs, bits=max(needs.bits, self._expected(point)) + step)
        if self.point(more) != point:
            return more
        return replace(needs, degree=needs.degree + 1)

    def _packings(self) -> list[Any]:
        """Packings of the input: the preferred one, then the one with the fewest keys."""
        options = self._options("input_packing")
        return options[:1] + sorted(options[1:], key=("columns", "rotated", "plain").index)

    def _options(self, name: str) -> list[Any]:
        """Values of a parameter; the only one where it is fixed; none where it does not exist."""
        domain = self._domains.get(name)
        if isinstance(domain, Vector):
            domain = domain.element
        if domain is None:
            fixed = self._space.complete({}).get(name)
            return [] if fixed is None else [fixed]
        if isinstance(domain, Integer):
            return list(range(domain.low, domain.high + 1, domain.step))
        options = list(domain.options)  # type: ignore[union-attr]
        return sorted(options) if name in ("log_n", "degree") else options


def failures(trial: Trial) -> dict[str, float]:
    """How ``trial`` failed: word -> by how much (2 where nobody said)."""
    found: dict[str, float] = {}
    outcome = trial.outcome
    for name, excess in (outcome.excess if outcome is not None else {}).items():
        word = _word(name)
        if word and excess > 0:
            found[word] = max(found.get(word, 0.0), excess)
    first = (outcome.error if outcome is not None else "").split(":")[0].strip()
    if first in _WORDS:
        found.setdefault(first, 2.0)
    if trial.status == "crashed":
        found.setdefault("crash", 2.0)
    return found


def target_precision(constraints: Sequence[str]) -> float | None:
    """The largest bound on precision, in bits, that the constraints of a study set."""
    bounds = []
    for text in constraints:
        bound = _constraint(text)
        if bound is not None and "precision" in bound.metric and bound.op == ">=":
            bounds.append(bound.bound)
    return max(bounds, default=None)


def _word(name: str) -> str | None:
    """The word of a failure for a broken rule or constraint."""
    if name in _WORDS:
        return name
    bound = _constraint(name)
    if bound is None:
        return None
    if "precision" in bound.metric or "agreement" in bound.metric:
        return "imprecise"
    return "memory" if bound.metric.startswith(_MEMORY) else None


def _constraint(text: str) -> Constraint | None:
    try:
        return Constraint.parse(text)
    except ValueError:
        return None


def _nearest(domain: Domain, wanted: Value | None) -> Value:
    """The value of ``domain`` nearest to ``wanted``; the first one if nothing is wanted."""
    if isinstance(domain, Vector):
        entry = wanted[0] if isinstance(wanted, tuple) else wanted
        return (_nearest_scalar(domain.element, entry),) * domain.length
    return _nearest_scalar(domain, wanted[0] if isinstance(wanted, tuple) else wanted)


def _nearest_scalar(domain: Any, wanted: Scalar | None) -> Scalar:
    options: Sequence[Any] = (
        range(domain.low, domain.high + 1, domain.step)
        if isinstance(domain, Integer)
        else domain.options
    )
    if wanted in options:
        return wanted  # type: ignore[return-value]
    if wanted is None or isinstance(wanted, str):
        return options[0]  # type: ignore[no-any-return]
    return min(options, key=lambda option: abs(option - wanted))  # type: ignore[no-any-return]
