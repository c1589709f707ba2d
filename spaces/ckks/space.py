"""CKKS configurations of a network: ring, modulus chain, scale, packing and activations.

A point is judged by the rules alone, within microseconds and without a library: whether it is
secure, whether its primes exist, and whether its scales fit. Illegal points can be repaired.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Self

from search.api.candidate import Violation
from search.api.domain import Domain, Integer, Ordinal, Param, Point, Value, Vector, is_active
from search.api.errors import ConfigError, InfeasibleCandidate
from search.api.repair import repair as greedy_repair
from search.api.trial import Trial
from spaces.ckks.encoding import Encoding, sign_violations
from spaces.ckks.layers import Layers
from spaces.ckks.libraries import LIBRARIES
from spaces.ckks.options import CkksConfig
from spaces.ckks.params import CkksParams
from spaces.ckks.rules import Demands, is_legal, violations, warnings
from spaces.ckks.security import Security
from spaces.ckks.synthesis import Synthesis

_DECISIVE = ("log_n", "scale", "headroom", "spare_levels", "secret_weight", "degree")
"""Parameters by which an illegal point becomes legal."""


class CkksSpace:
    """CKKS configurations of one network.

    Args:
        layers: the network; None if ``config`` gives its depth.
        config: options.

    Raises:
        ConfigError: the depth is not known; the library cannot bootstrap; no configuration can be
            legal.
    """

    kind = "ckks"
    Config: ClassVar[type[CkksConfig]] = CkksConfig

    def __init__(self, layers: Layers | None = None, config: CkksConfig | None = None) -> None:
        self.config = config or CkksConfig()
        if layers is None and self.config.depth is None:
            raise ConfigError(
                "ckks needs a network or its depth (got neither). Add a `workload:` section or "
                "`depth`",
                path="space.depth",
            )
        self.layers = layers
        library = LIBRARIES[self.config.library]
        if self.config.bootstrap and not library.bootstraps:
            raise ConfigError(
                f"{library.name} cannot refresh a ciphertext (lattigo can)", path="space.bootstrap"
            )
        options = self.config.security
        self.demands = Demands(
            output_range=self.config.output_range,
            library=library,
            security=Security(options.bits, options.table, options.allow_insecure),
        )
        if self.config.drops == ("paired",) and (layers is None or self.config.depth is not None):
            raise ConfigError(
                "which levels are dropped in pairs follows from the network's squares (got a depth "
                "alone). Add a `workload:` section and leave `depth` out, or take [each]",
                path="space.drops",
            )
        self._encoding = Encoding(self.config, layers)
        self._params = self._encoding.params
        self._require_a_legal_point()

    @classmethod
    def from_config(cls, config: CkksConfig, workload: Any) -> Self:
        """The space of ``workload``'s network, or of no network if ``depth`` is given.

        Raises:
            ConfigError: the network holds what CKKS cannot do, or an option is wrong.
        """
        if workload is None:
            return cls(None, config)
        links = getattr(workload, "links", None)
        return cls(Layers(tuple(workload.sites()), links() if links else None), config)

    def params(self) -> Sequence[Param]:
        """What is chosen; options with one value are no parameters."""
        return self._params

    def check(self, point: Point) -> Sequence[Violation]:
        """What is wrong with ``point``: domains first, then every rule it breaks."""
        found = self._encoding.domain_violations(point)
        if found:
            return found
        params = self._encoding.decode(point)
        return (*violations(params, self._demands_of(params)), *sign_violations(params))

    def warnings(self, point: Point) -> tuple[str, ...]:
        """What is legal about ``point`` but worth a word.

        Raises:
            InfeasibleCandidate: it is not legal.
        """
        return warnings(self.build(point), self.demands)

    def build(self, point: Point) -> CkksParams:
        """The configuration of ``point``.

        Raises:
            InfeasibleCandidate: ``check`` is not empty.
        """
        found = self.check(point)
        if found:
            raise InfeasibleCandidate(found)
        return self._encoding.decode(point)

    def read(self, point: Point) -> CkksParams:
        """What ``point`` means, whatever rules it breaks; its values must be in their domains.

        For judging many points at once, where checking each by itself would cost more.
        """
        return self._encoding.decode(point)

    def repair(self, point: Point) -> Point:
        """A legal point near ``point``; a legal ``point`` comes back unchanged.

        Raises:
            InfeasibleCandidate: there is no legal point near.
        """
        if not self.check(point):
            return point
        # The seed is fixed: which entries of a vector move must not differ between two calls.
        try:
            return greedy_repair(point, self._params, self.check, random.Random(0))
        except InfeasibleCandidate:
            return self._nearest(point)

    def decode(self, data: Any) -> CkksParams:
        """The configuration from its JSON form.

        Raises:
            ConfigError: the data has another form.
        """
        return CkksParams.decode(data)

    def depth(self, point: Point) -> int:
        """Levels that the network needs with the activations of ``point``."""
        drops: Any = self._encoding.complete(point).get("drops", "each")
        return self._encoding.depth(self._encoding.activations(point), drops)

    def complete(self, point: Point) -> dict[str, Value]:
        """``point`` with the values of options that are fixed."""
        return self._encoding.complete(point)

    def synthesise(self, trials: Sequence[Trial], constraints: Sequence[str]) -> Point | None:
        """The configuration that follows from the network's needs and from what failed so far."""
        return Synthesis(self).next(trials, constraints)

    def _demands_of(self, params: CkksParams) -> Demands:
        own = self.demands
        pairs = self._encoding.pairs(params.activations, params.drops)
        return Demands(len(pairs), own.output_range, own.library, own.security, pairs=pairs)

    def _legal(self, point: Point) -> bool:
        """Whether ``point``, whose values are in their domains, breaks no rule."""
        params = self._encoding.decode(point)
        return is_legal(params, self._demands_of(params)) and not sign_violations(params)

    def _nearest(self, point: Point) -> Point:
        """The legal point nearest in what security and depth depend on, all else kept."""
        start = self._in_domain(point)
        for changed in self._outwards(start):
            if self._legal(changed):
                return changed
        raise InfeasibleCandidate(self.check(point))

    def _outwards(self, start: Point) -> Iterator[dict[str, Value]]:
        named = [p for p in self._params if p.name in _DECISIVE and p.name in start
                 and not isinstance(p.domain, Vector)]  # fmt: skip
        options = [list(_values(p)) for p in named]
        at = [values.index(start[p.name]) for p, values in zip(named, options, strict=True)]
        steps = itertools.product(*[range(len(values)) for values in options])
        order = sorted(steps, key=lambda to: sum(abs(a - b) for a, b in zip(to, at, strict=True)))
        for to in order:
            moved = {p.name: o[i] for p, o, i in zip(named, options, to, strict=True)}
            yield {**start, **moved}

    def _in_domain(self, point: Point) -> dict[str, Value]:
        """``point`` with exactly the active parameters, each with a value of its domain."""
        named = {param.name for param in self._params}
        kept: dict[str, Value] = {n: v for n, v in point.items() if n not in named}
        for param in self._params:
            if is_active(param, kept):
                value = point.get(param.name)
                fits = value is not None and param.domain.contains(value)
                kept[param.name] = value if fits else _mildest(param.domain)  # type: ignore[assignment]
        return kept

    def _require_a_legal_point(self) -> None:
        """Refuse options under which no point can be legal, with the reasons of one of them."""
        start = self._in_domain({})
        if not any(self._legal(p) for p in self._outwards(start)):
            largest = {p.name: max(_values(p)) for p in self._params if p.name == "log_n"}
            reasons = "; ".join(v.detail for v in self.check({**start, **largest}))
            raise ConfigError(f"no configuration is legal. One of them: {reasons}", path="space")


def _values(param: Param) -> Iterator[Any]:
    """All values of a scalar parameter."""
    domain: Any = param.domain
    if isinstance(domain, Integer):
        return iter(range(domain.low, domain.high + 1, domain.step))
    return iter(domain.options)


def _mildest(domain: Domain) -> Value:
    """The least number, or the first option: what breaks the fewest rules."""
    if isinstance(domain, Vector):
        return (_mildest(domain.element),) * domain.length  # type: ignore[return-value]
    if isinstance(domain, Integer):
        return domain.low
    options: Sequence[Any] = domain.options  # type: ignore[union-attr]
    return min(options) if isinstance(domain, Ordinal) else options[0]  # type: ignore[no-any-return]
