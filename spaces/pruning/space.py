"""Pruning ratios: the share of its weights that each layer keeps, and in which structure.

Which weights stay is left to a method. The searcher sees one number per layer, on a log scale;
layers whose filters must agree have one number together, so that no point breaks that rule.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

from search.api.candidate import Violation
from search.api.domain import Choice, Param, Point, Real, Value, Vector
from search.api.errors import ConfigError, InfeasibleCandidate
from search.api.network import Site, Usage
from spaces.pruning.agreement import agreement
from spaces.pruning.layout import Layout, Piece, lay_out, units_kept
from spaces.pruning.options import PruningRatioConfig, alternatives, by_site, matching
from spaces.pruning.plan import LayerPruning, PruningPlan
from spaces.pruning.quantised import Quantised
from spaces.pruning.rules import RatioRule
from spaces.pruning.scheduled import Scheduled
from spaces.pruning.shares import of_plan, of_sites
from spaces.pruning.units import layers_of

FIXED = "fixed"
"""The value of ``keep`` where every share is fixed."""


class PruningRatio:
    """The share of its units that each layer keeps, its levels, and the schedule to get there.

    Args:
        sites: the network's sites, in execution order.
        links: site -> sites whose results it reads; None: each reads the one before.
        config: options, see :class:`~spaces.pruning.options.PruningRatioConfig`; or give them as
            keywords.

    Raises:
        ConfigError: an option names what the network does not have, or asks for what cannot be.
    """

    kind = "pruning_ratio"
    Config: ClassVar[type[PruningRatioConfig]] = PruningRatioConfig

    def __init__(
        self,
        sites: Sequence[Site],
        links: Mapping[str, Sequence[str]] | None = None,
        config: PruningRatioConfig | None = None,
        **options: Any,
    ) -> None:
        self._config = config = config or PruningRatioConfig(**options)
        self._sites = tuple(sites)
        if links is None:
            before = [(), *((site.name,) for site in self._sites)]
            links = {site.name: read for site, read in zip(self._sites, before, strict=False)}
        layers = layers_of(self._sites)
        names = [layer.name for layer in layers]
        skip = matching(config.skip, names, "space.skip")
        given, named = alternatives(config.structure, names)
        self._layout = lay_out(
            layers,
            given,
            agreement(self._sites, links),
            named=named,
            skip=skip,
            fixed=by_site(config.fixed, names, "space.fixed"),
            group=config.m,
            shared=config.granularity == "network",
        )
        self._scheduled = Scheduled(config.rounds, config.rho_first, config.rho_last)
        self._quantised = Quantised(
            [name for name in names if name not in skip],
            [pruned.layer.name for pruned in self._layout.layers],
            config.bits,
            config.levels,
        )
        if not self._layout.layers and not self._quantised.names:
            raise ConfigError("nothing to prune or quantise: every layer stays whole", path="space")
        self._params = self._make_params()
        self._domains = {param.name: param.domain for param in self._params}
        self._ratio = RatioRule(
            self._layout, config.ratio, config.spend, config.low, config.granularity == "network"
        )

    @classmethod
    def from_config(cls, config: PruningRatioConfig, workload: Any) -> Self:
        """The space of ``workload``'s network.

        Raises:
            ConfigError: there is no workload, or an option is wrong.
        """
        if workload is None:
            raise ConfigError(
                "pruning_ratio needs a network (got no workload). Add a `workload:` section.",
                path="workload",
            )
        links = getattr(workload, "links", None)
        return cls(workload.sites(), links() if links is not None else None, config)

    @property
    def sites(self) -> tuple[Site, ...]:
        """All sites of the network, in execution order."""
        return self._sites

    @property
    def layout(self) -> Layout:
        """Which layers are pruned, in what, and which share an entry of ``keep``."""
        return self._layout

    @property
    def config(self) -> PruningRatioConfig:
        """Its options."""
        return self._config

    @property
    def allowed(self) -> int | None:
        """Weights that may stay, those of whole layers included; None: any number."""
        return self._ratio.allowed

    def params(self) -> Sequence[Param]:
        """``keep`` and, where there is a choice, ``structure``, ``bits``, ``levels``, ``rounds``,
        ``rho_first``, ``rho_last``.
        """
        return self._params

    def members(self, param: str) -> tuple[str, ...]:
        """The layers behind the entries of a vector; none for other parameters."""
        if param in ("bits", "levels"):
            return self._quantised.names
        return {"keep": self._layout.slots, "structure": self._layout.blocks}.get(param, ())

    def check(self, point: Point) -> Sequence[Violation]:
        """What is wrong with ``point``: domains, structures, the ratio, levels, the penalty."""
        broken = [
            Violation("domain", f"{name}: got {_short(point.get(name))}; expected "
                      f"{domain.describe()}", 1.0, "1")
            for name, domain in self._domains.items()
            if name not in point or not domain.contains(point[name])
        ]  # fmt: skip
        if broken:
            return tuple(broken)
        broken += self._check_structures(point)
        if broken:
            return tuple(broken)
        structure, values = _structure(point), self._values(point)
        broken += self._ratio.check(structure, values)
        broken += self._quantised.check(point, self._lost(structure, values))
        broken += self._scheduled.check(point)
        return tuple(broken)

    def build(self, point: Point) -> PruningPlan:
        """The plan of ``point``, fixed shares included.

        Raises:
            InfeasibleCandidate: ``check`` is not empty.
        """
        violations = self.check(point)
        if violations:
            raise InfeasibleCandidate(violations)
        values, ways = self._values(point), self._ratio.choices(_structure(point))
        entries = tuple(
            LayerPruning(pruned.layer.name, piece.structure, _kept(piece, values), piece.units)
            for pruned, way in zip(self._layout.layers, ways, strict=True)
            for piece in pruned.ways[way]
        )
        fewer = {e.site for e in entries if e.structure == "filter"}
        ties = tuple(tie for tie in self._layout.ties if fewer.issuperset(tie))
        levels, schedule = self._quantised.chosen(point), self._scheduled.chosen(point)
        return PruningPlan(entries, levels, schedule, ties)

    def point(self, plan: PruningPlan) -> Point:
        """A point that gives ``plan`` (inverse of ``build``); the ratio is not looked at.

        Raises:
            InfeasibleCandidate: no point gives it: other layers or structures, filters that do not
                agree, or shares that are fixed or differ where all are to be the same.
        """
        values, ways = of_plan(self._layout, plan, self._config.low)
        found: dict[str, Value] = {"keep": self._keep(values)} if "keep" in self._domains else {}
        if self._layout.blocks:
            by_block = {p.block: p.names[w] for p, w in zip(self._layout.layers, ways, strict=True)}
            found["structure"] = tuple(by_block[i] for i in range(len(self._layout.blocks)))
        return found | self._quantised.point(plan.levels) | self._scheduled.point(plan.schedule)

    def kept_weights(self, keep: Sequence[float]) -> int:
        """Weights that stay with these entries of ``keep``, those of whole layers included; of
        alternative structures the first one of each layer counts.
        """
        return self._ratio.kept_weights(keep)

    def kept_vector(self, shares: Mapping[str, float | Mapping[str, float]]) -> tuple[float, ...]:
        """``keep`` for shares given by hand, as papers list them.

        Args:
            shares: site name or glob -> share kept, or a mapping structure -> share; a layer that
                is pruned in several structures needs the latter.

        Raises:
            ConfigError: a layer has no share, or one outside ``low`` to 1; filters that must agree
                do not.
        """
        names = [pruned.layer.name for pruned in self._layout.layers]
        return of_sites(self._layout, by_site(shares, names, "keep"), self._config.low)

    def repair(self, point: Point) -> Point:
        """A legal point near ``point``: into the domains, then ``keep`` times one factor.

        The factor is such that as many weights stay as the ratio allows, in whole units; see
        :func:`spaces.pruning.budget.scaled`.

        Raises:
            InfeasibleCandidate: a parameter is missing, has another length, or is not of numbers.
        """
        legal = {**point, **{n: _into(d, point.get(n)) for n, d in self._domains.items()}}
        if any(legal[name] is None for name in self._domains):
            raise InfeasibleCandidate(self.check(point))
        done: dict[str, Value] = {n: v for n, v in legal.items() if v is not None}
        if not self.check(done):
            return done
        structure = self._ratio.structures(_structure(done))
        values = self._values(done)
        if self._ratio.check(structure, values):
            values = self._ratio.scaled(structure, values)
            done["keep"] = self._keep(values)
        if structure:
            done["structure"] = structure
        done |= self._scheduled.repair(done)
        return done | self._quantised.repair(done, self._lost(structure, values))

    def usage(self, payload: PruningPlan) -> Usage[float]:
        """The work of the whole network under ``payload`` if zeros cost nothing."""
        return payload.usage(self._sites)

    def decode(self, data: Any) -> PruningPlan:
        """The plan from its JSON form.

        Raises:
            ConfigError: the data has another form.
        """
        return PruningPlan.decode(data)

    def _make_params(self) -> tuple[Param, ...]:
        layout, share = self._layout, Real(self._config.low, 1.0, log=True)
        found = []
        if layout.slots:
            one = self._config.granularity == "network"
            doc = "share of its units that each layer keeps, in order"
            found.append(
                Param("keep", share, doc="share of their units that all layers keep")
                if one
                else Param("keep", Vector(share, len(layout.slots)), doc=doc)
            )
        if layout.blocks:
            domain = Vector(Choice(layout.options), len(layout.blocks))
            found.append(Param("structure", domain, doc="what each layer drops at once"))
        found += [*self._quantised.params(), *self._scheduled.params()]
        # A study of one point still needs something to propose.
        return tuple(found) or (Param("keep", Choice((FIXED,)), doc="every share is fixed"),)

    def _values(self, point: Point) -> Sequence[float]:
        value = point.get("keep")
        if not self._layout.slots:
            return ()
        return value if isinstance(value, tuple) else (value,)  # type: ignore[return-value]

    def _keep(self, values: Sequence[float]) -> Value:
        if not self._layout.slots:
            return FIXED
        return values[0] if self._config.granularity == "network" else tuple(values)

    def _check_structures(self, point: Point) -> list[Violation]:
        if not self._layout.blocks:
            return []
        value: Any = point["structure"]
        return [
            Violation("structure", f"{p.layer.name}: got {value[p.block]}; expected "
                      f"{' or '.join(p.names)}", 1.0, "1")
            for p in self._layout.layers
            if p.block is not None and value[p.block] not in p.names
        ]  # fmt: skip

    def _lost(self, structure: Sequence[str], values: Sequence[float]) -> dict[str, int]:
        return self._ratio.lost(structure, values) if self._quantised.may_be_binary else {}


def _structure(point: Point) -> tuple[str, ...]:
    value = point.get("structure", ())
    return value if isinstance(value, tuple) else ()  # type: ignore[return-value]


def _kept(piece: Piece, values: Sequence[float]) -> int:
    return piece.kept if piece.slot is None else units_kept(values[piece.slot], piece.units)


def _into(domain: Any, value: Any) -> Any:
    """``value`` moved into ``domain``; None where it has another form."""
    if value is None or domain.contains(value):
        return value
    if isinstance(domain, Vector):
        if not isinstance(value, tuple) or len(value) != domain.length:
            return None
        entries = tuple(_into(domain.element, v) for v in value)
        return None if None in entries else entries
    if not isinstance(domain, Real) or isinstance(value, (str, bool, tuple)) or value != value:
        return None
    return min(domain.high, max(domain.low, float(value)))


def _short(value: object) -> str:
    text = "nothing" if value is None else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
