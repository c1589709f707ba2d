"""Points and configurations: which parameters there are, and what a point of them means."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from search.api.candidate import Violation
from search.api.domain import (
    Choice,
    Domain,
    Integer,
    Ordinal,
    Param,
    Point,
    Scalar,
    ScalarDomain,
    Value,
    Vector,
    is_active,
)
from spaces.ckks.layers import Layers, is_sign_degree
from spaces.ckks.libraries import LIBRARIES
from spaces.ckks.options import CkksConfig, Span
from spaces.ckks.params import ActivationChoice, Chain, CkksParams, Drops, LayerPacking
from spaces.ckks.rules import final_scale, pair_bits, special_for

DOCS: Mapping[str, tuple[str, str]] = {
    "log_n": ("1", "log2 of the ring dimension"),
    "scale": ("bit", "scale of the encrypted values"),
    "headroom": ("bit", "what the first prime has more than the scale"),
    "drops": ("", "whether squares and linear layers drop a prime each, or one in common"),
    "weight_bits": ("bit", "scale of weights behind squares that drop no prime"),
    "special_gap": ("bit", "what the special prime has more than the first one"),
    "special_primes": ("1", "primes for key switching"),
    "level_offset": ("bit", "what the primes of the levels have more than the scale"),
    "spare_levels": ("1", "levels more than the network needs"),
    "secret_weight": ("1", "non-zero entries of the secret; 0: dense"),
    "ring": ("", "type of the ring"),
    "input_packing": ("", "how the client lays out its input"),
    "embedding": ("", "layout of linear layers"),
    "baby": ("1", "baby steps of linear layers; 0: least predicted time"),
    "rescaling": ("", "when linear layers rescale: after their sums, or as soon as it saves time"),
    "activation": ("", "what stands at activations that are no polynomials"),
    "degree": ("1", "degree of fitted polynomials and signs"),
    "margin": ("1", "by how much fitted intervals exceed the range seen"),
    "bootstrap": ("", "whether the ciphertext is refreshed before the layer"),
}
"""Parameter -> unit and meaning."""


class Encoding:
    """What a point of parameters means.

    Args:
        config: options of the space.
        layers: the network; None if only its depth is known.
    """

    def __init__(self, config: CkksConfig, layers: Layers | None) -> None:
        self._config, self._layers = config, layers
        self._linears = layers.linears if layers is not None else ()
        self._foreign = layers.foreign if layers is not None else ()
        self._kinds: tuple[str, ...] = config.activation or ("polynomial",)
        self._pairs: dict[tuple[tuple[ActivationChoice, ...], Drops], tuple[bool, ...]] = {}
        domains = dict(self._domains())
        self._fixed: dict[str, Value] = {
            name: _only(domain) for name, domain in domains.items() if domain.size == 1
        }
        self.params: tuple[Param, ...] = tuple(
            Param(name, domain, DOCS[name][0], self._when(name, domains), DOCS[name][1])
            for name, domain in domains.items()
            if name not in self._fixed
        )

    def complete(self, point: Point) -> dict[str, Value]:
        """``point`` with the values of what is no parameter here."""
        return {**self._fixed, **point}

    def domain_violations(self, point: Point) -> list[Violation]:
        """Values that are missing or outside their domain; other names are ignored."""
        return [
            Violation("domain", f"{p.name}: got {_short(point.get(p.name))}; expected "
                      f"{p.domain.describe()}", 1.0, "1")
            for p in self.params
            if is_active(p, point) and not _contains(p.domain, point.get(p.name))
        ]  # fmt: skip

    def decode(self, point: Point) -> CkksParams:
        """The configuration of ``point``, whose values are in their domains."""
        values: Any = self.complete(point)
        activations = self.activations(point)
        drops = values.get("drops", "each")
        pairs = self.pairs(activations, drops)
        levels = self._levels(values, pairs)
        weight_bits = values["weight_bits"] if drops == "paired" else 0
        final = final_scale(values["scale"], weight_bits, levels, pairs)
        first = final + values["headroom"]
        special = special_for(first, values["special_gap"])
        if drops == "paired":
            special = max((special, *levels))  # for key switching it must be the largest
        return CkksParams(
            log_n=values["log_n"],
            chain=Chain(first, levels, (special,) * values["special_primes"]),
            scale=values["scale"],
            ring=values["ring"],
            secret_weight=values["secret_weight"] or None,
            input_packing=values["input_packing"],
            layers=tuple(
                LayerPacking(site, embedding, baby, values.get("rescaling", "last"))
                for site, embedding, baby in zip(
                    self._linears,
                    _each(values.get("embedding", "fold"), len(self._linears)),
                    _each(values.get("baby", 0), len(self._linears)),
                    strict=True,
                )
                if (embedding, baby, values.get("rescaling")) != ("fold", 0, "last")
            ),
            activations=activations,
            bootstraps=tuple(
                site
                for site, chosen in zip(self._linears, values.get("bootstrap", ()), strict=False)
                if chosen
            ),
            drops=drops,
            weight_bits=weight_bits,
        )

    def activations(self, point: Point) -> tuple[ActivationChoice, ...]:
        """What stands at each activation that is no polynomial of the network's own."""
        values, count = self.complete(point), len(self._foreign)
        chosen = zip(
            self._foreign,
            _each(values.get("activation", self._kinds[0]), count),
            _each(values.get("degree", self._config.degree[0]), count),
            _each(values.get("margin", self._config.margin[0]), count),
            strict=True,
        )
        return tuple(_activation(*choice) for choice in chosen)

    def depth(self, activations: Iterable[ActivationChoice], drops: Drops = "each") -> int:
        """Levels that the network needs with ``activations``."""
        return len(self.pairs(tuple(activations), drops))

    def pairs(self, activations: tuple[ActivationChoice, ...], drops: Drops) -> tuple[bool, ...]:
        """Of each level that the network needs, whether a square drops it with a linear map."""
        if self._config.depth is not None:
            return (False,) * self._config.depth
        if self._layers is None:
            return ()
        known = self._pairs.get((activations, drops))
        if known is None:
            choices = {choice.site: choice for choice in activations}
            known = self._pairs[activations, drops] = self._layers.pairs(choices, drops)
        return known

    def _levels(self, values: Mapping[str, Any], pairs: tuple[bool, ...]) -> tuple[int, ...]:
        given, scale = self._config.levels, values["scale"]
        count = len(pairs) + values["spare_levels"] if given is None else given
        offsets = _each(values.get("level_offset", 0), count)[:count]
        shared = pair_bits(scale, values.get("weight_bits", scale))
        paired = (*pairs, *(False,) * count)
        return tuple(
            (shared if pair else scale) + offset
            for offset, pair in zip(offsets, paired, strict=False)
        )

    def _domains(self) -> Iterable[tuple[str, Domain]]:
        config = self._config
        yield "log_n", Ordinal(_unique(config.log_n))
        yield "scale", _integer(config.scale)
        yield "headroom", _integer(config.headroom)
        drops = self._drops()
        yield "drops", Choice(drops)
        if "paired" in drops:
            yield "weight_bits", _integer(config.weight_bits)
        yield "special_gap", _integer(config.special_gap)
        yield "special_primes", _integer(config.special_primes)
        yield "level_offset", self._offsets()
        yield "spare_levels", _integer(config.spare_levels)
        yield "secret_weight", Ordinal(_unique(config.secret_weight))
        yield "ring", Choice(_unique(config.ring))
        yield "input_packing", Choice(_unique(config.input_packing))
        layers = len(self._linears) if config.per_layer else 0
        if self._linears:
            yield "embedding", _vector(Choice(_unique(config.embedding)), layers)
            yield "baby", _vector(Ordinal(_unique(config.baby)), layers)
            yield "rescaling", Choice(_unique(config.rescaling))
        if self._foreign:
            sites = len(self._foreign) if config.per_site else 0
            yield "activation", _vector(Choice(_unique(self._kinds)), sites)
            if set(self._kinds) & {"polynomial", "sign_relu"}:
                yield "degree", _vector(Ordinal(_unique(config.degree)), sites)
                yield "margin", _vector(Ordinal(_unique(config.margin)), sites)
        if config.bootstrap and self._linears:
            yield "bootstrap", Vector(Choice((False, True)), len(self._linears))

    def _drops(self) -> tuple[Drops, ...]:
        """What there is to choose from: pairs only where there are any and the library can."""
        chosen: tuple[Drops, ...] = tuple(dict.fromkeys(self._config.drops))
        if chosen == ("paired",) or (LIBRARIES[self._config.library].pairs and self._has_pairs()):
            return chosen
        return ("each",)

    def _has_pairs(self) -> bool:
        kinds = self._kinds if self._foreign else self._kinds[:1]
        choices = [
            tuple(_activation(site, kind, self._config.degree[0], 2.0) for site in self._foreign)
            for kind in kinds
        ]
        return any(any(self.pairs(choice, "paired")) for choice in choices)

    def _offsets(self) -> Domain:
        element = _integer(self._config.level_offset)
        if not self._config.offset_per_level or element.size == 1:
            return element
        if self._config.levels is not None:
            return Vector(element, max(1, self._config.levels))
        deepest = 0
        for kind in self._kinds if self._foreign else ("own",):
            for degree in self._config.degree:
                choices = [_activation(site, kind, degree, 2.0) for site in self._foreign]
                deepest = max(deepest, self.depth(choices))
        return Vector(element, max(1, deepest + self._config.spare_levels[1]))

    def _when(self, name: str, domains: Mapping[str, Domain]) -> dict[str, tuple[Scalar, ...]]:
        """Degree and margin count only where something is fitted, bits of weights in pairs."""
        drops = domains["drops"]
        if name == "weight_bits" and drops.size > 1:
            return {"drops": ("paired",)}
        kinds = domains.get("activation")
        if name not in ("degree", "margin") or not isinstance(kinds, Choice) or kinds.size == 1:
            return {}
        return {"activation": tuple(k for k in kinds.options if k in ("polynomial", "sign_relu"))}


def sign_violations(params: CkksParams) -> list[Violation]:
    """Composite signs of a degree that none has."""
    return [
        Violation(
            "unsupported",
            f"{choice.site}: no composite sign has degree {choice.degree} (expected a product of "
            f"odd degrees from 3 to 63). Nearest: {max(3, choice.degree - 1 + choice.degree % 2)}",
            1.0,
            "1",
        )
        for choice in params.activations
        if choice.kind == "sign_relu" and not is_sign_degree(choice.degree)
    ]


def _activation(site: str, kind: Any, degree: Any, margin: Any) -> ActivationChoice:
    if kind in ("polynomial", "sign_relu"):
        return ActivationChoice(site, kind, int(degree), float(margin))
    return ActivationChoice(site, kind)  # degree and margin mean nothing there


def _each(value: Any, count: int) -> tuple[Any, ...]:
    """One value for each of ``count``; a value for all of them is repeated."""
    return value if isinstance(value, tuple) else (value,) * count


def _only(domain: Domain) -> Value:
    if isinstance(domain, Vector):
        return (_only_scalar(domain.element),) * domain.length
    return _only_scalar(domain)


def _only_scalar(domain: ScalarDomain) -> Scalar:
    return domain.low if isinstance(domain, Integer) else domain.options[0]  # type: ignore[union-attr]


def _integer(span: Span) -> Integer:
    return Integer(*span)


def _vector(element: ScalarDomain, length: int) -> Domain:
    """A vector of ``length`` entries; one scalar for all if ``length`` is 0."""
    return Vector(element, length) if length else element


def _unique(options: Iterable[Scalar]) -> tuple[Scalar, ...]:
    return tuple(dict.fromkeys(options))


def _contains(domain: Domain, value: Value | None) -> bool:
    return value is not None and domain.contains(value)


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
