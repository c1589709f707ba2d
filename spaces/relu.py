"""ReLU placement: which activations stay ReLU and which pools stay max.

Comparisons are what a secure protocol pays for; polynomials and averages are cheap. The space
asks, for every activation of a traced network, whether it stays a ReLU or becomes a polynomial,
and for every max pool whether it becomes an average pool. Channel by channel and pixel by pixel
there are too many choices for a searcher: a method finds masks then, and the space has no
parameters of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Self

from search.api.candidate import Violation
from search.api.domain import Choice, Param, Point, Value, Vector
from search.api.errors import ConfigError, InfeasibleCandidate
from search.api.network import N, Site, Usage, Work, fixed_work, scaled_work
from spaces.masking import GRANULARITIES, Masking
from spaces.nested import MemberPlan, NestedPlan, decode_plan
from spaces.plan import ArtefactRef as ArtefactRef
from spaces.plan import NonlinearityPlan as NonlinearityPlan
from spaces.plan import SiteChoice as SiteChoice
from spaces.plan import check_shares, work_operator
from spaces.relu_bits import NAME as RELU_BITS
from spaces.relu_bits import ReluBits
from spaces.relu_options import ACTIVATIONS, POOLS, fixed_sites, operators_of
from spaces.relu_options import ReluPlacementConfig as ReluPlacementConfig


class ReluPlacement:
    """ReLU or polynomial at every activation, max or average at every max pool.

    Average pools of the original network stay as they are: they are local in every protocol.

    Args:
        sites: the network's sites, in execution order.
        granularity: ``layer``, ``channel`` or ``pixel``.
        activations: operators an activation may become; with masks ``relu`` and one other.
        pools: operators a max pool may become; with masks all become the first.
        fixed: site name or glob -> operator; these sites leave the search.
        max_relus: upper bound of ReLU elements per sample, those of fixed sites included. Max
            pools are not counted.
        relu_bits: widths in bits that a ReLU's comparison may have, chosen per site; None compares
            on the whole ring. Layers only.

    Raises:
        ConfigError: an unknown granularity, operator or site; nothing to choose; no legal plan.
    """

    kind = "relu_placement"
    Config: ClassVar[type[ReluPlacementConfig]] = ReluPlacementConfig

    def __init__(
        self,
        sites: Sequence[Site],
        granularity: str = "layer",
        *,
        activations: Sequence[str] = ("x2act", "relu"),
        pools: Sequence[str] = ("avg", "max"),
        fixed: Mapping[str, str] | None = None,
        max_relus: int | None = None,
        relu_bits: Sequence[int] | None = None,
    ) -> None:
        if granularity not in GRANULARITIES:
            raise ConfigError(
                f"unknown value {granularity!r} (known: {', '.join(GRANULARITIES)})",
                path="space.granularity",
            )
        self._granularity = granularity
        self._sites = tuple(sites)
        self._max_relus = max_relus
        acts = operators_of(activations, ACTIVATIONS, "space.activations")
        pool_options = operators_of(pools, POOLS, "space.pools")
        options = {s.name: acts for s in self._sites if s.kind == "activation"}
        options |= {s.name: pool_options for s in self._sites if s.operator == "maxpool"}
        self._fixed = fixed_sites(fixed or {}, self._sites, options)
        self._options = {
            s.name: options[s.name]
            for s in self._sites
            if s.name in options and s.name not in self._fixed
        }
        kinds = {s.name: s.kind for s in self._sites}
        self._groups: dict[str, tuple[str, ...]] = {
            "activation": tuple(n for n in self._options if kinds[n] == "activation"),
            "pool": tuple(n for n in self._options if kinds[n] == "pool"),
        }
        self._params = tuple(self._param(name) for name, members in self._groups.items() if members)
        if not self._params:
            raise ConfigError(
                f"nothing to choose: none of the {len(self._sites)} sites is a free activation or "
                "max pool",
                path="space",
            )
        self._legal = {
            p.name: frozenset(self._options[self._groups[p.name][0]]) for p in self._params
        }
        elements = {s.name: s.elements for s in self._sites}
        self._elements = tuple(elements[n] for n in self._groups["activation"])
        self._fixed_relus = sum(elements[n] for n, op in self._fixed.items() if op == "relu")
        self._check_budget(acts)
        self._bits = None if relu_bits is None else self._widths(relu_bits)

    @classmethod
    def from_config(cls, config: ReluPlacementConfig, workload: Any) -> Self:
        """The space of ``workload``'s network.

        Raises:
            ConfigError: there is no workload, or an option is wrong.
        """
        if workload is None:
            raise ConfigError(
                "relu_placement needs a network (got no workload). Add a `workload:` section.",
                path="workload",
            )
        return cls(
            workload.sites(),
            config.granularity,
            activations=config.activations,
            pools=config.pools,
            fixed=config.fixed,
            max_relus=config.max_relus,
            relu_bits=config.relu_bits,
        )

    @property
    def sites(self) -> tuple[Site, ...]:
        """All sites of the network, in execution order."""
        return self._sites

    @property
    def options(self) -> Mapping[str, tuple[str, ...]]:
        """Free site -> operators that may stand there, in execution order."""
        return dict(self._options)

    @property
    def fixed(self) -> Mapping[str, str]:
        """Fixed site -> its operator, in execution order."""
        return dict(self._fixed)

    @property
    def masking(self) -> Masking:
        """Where masks may drop ReLUs; a layer is a mask of one unit.

        Raises:
            ConfigError: ``activations`` is not ``relu`` and one other, or no activation is free.
        """
        others = {op for n in self._groups["activation"] for op in self._options[n] if op != "relu"}
        whole = all("relu" in self._options[n] for n in self._groups["activation"])
        if len(others) != 1 or not whole:
            got = ", ".join(sorted(others | ({"relu"} if whole else set())))
            raise ConfigError(
                f"masks need `relu` and one operator that replaces it (got {got or 'none'})",
                path="space.activations",
            )
        free = tuple(s for s in self._sites if s.name in set(self._groups["activation"]))
        settled = dict(self._fixed) | {n: self._options[n][0] for n in self._groups["pool"]}
        return Masking(self._sites, free, settled, others.pop(), self._granularity)

    def params(self) -> Sequence[Param]:
        """``activation`` and ``pool``: vectors over the free sites in execution order, and
        ``relu_bits`` if asked for; nothing where a method must find masks (channels, pixels).
        """
        if self._granularity != "layer":
            return ()
        return self._params if self._bits is None else (*self._params, self._bits.param)

    def members(self, param: str) -> tuple[str, ...]:
        """The sites behind the entries of ``param`` (``activation``, ``pool``, ``relu_bits``)."""
        if param == RELU_BITS and self._bits is not None:
            return self._bits.sites
        return self._groups[param]

    def check(self, point: Point) -> Sequence[Violation]:
        """What is wrong with ``point``: domains, then the ReLU budget. Other names are ignored."""
        found = [
            Violation("domain", f"{p.name}: got {_short(point.get(p.name))}; expected "
                      f"{p.domain.describe()}", 1.0, "1")
            for p in self._params
            if not self._in_domain(p, point.get(p.name))
        ]  # fmt: skip
        if self._bits is not None:
            found += self._bits.check(point)
        if found or self._max_relus is None:
            return found
        excess = self._relus(point.get("activation", ())) - self._max_relus
        if excess <= 0:
            return ()
        detail = f"got {excess + self._max_relus} ReLU elements; at most {self._max_relus} allowed"
        return (Violation("max_relus", detail, float(excess), "1"),)

    def build(self, point: Point) -> NonlinearityPlan:
        """The plan of ``point``, fixed sites included.

        Raises:
            InfeasibleCandidate: ``check`` is not empty.
            ConfigError: the space is one of masks.
        """
        if self._granularity != "layer":
            raise ConfigError(
                f"{self._granularity} masks are not built from a point (expected a method that "
                "finds them, such as autorep)",
                path="space.granularity",
            )
        violations = self.check(point)
        if violations:
            raise InfeasibleCandidate(violations)
        chosen = dict(self._fixed)
        for param in self._params:
            chosen |= zip(self._groups[param.name], point[param.name], strict=True)  # type: ignore[arg-type]
        plan = self.plan(chosen)
        return (
            plan
            if self._bits is None
            else replace(plan, choices=self._bits.set(plan.choices, point))
        )

    def plan(self, chosen: Mapping[str, str]) -> NonlinearityPlan:
        """The plan with operator ``chosen[site]`` at every free site.

        Raises:
            InfeasibleCandidate: a free site has no operator or one that may not stand there.
        """
        operators = dict(self._fixed) | dict(chosen)
        for name, allowed in self._options.items():
            if operators.get(name) not in allowed:
                detail = f"{name}: got {operators.get(name)!r}; expected one of {allowed}"
                raise InfeasibleCandidate([Violation("domain", detail, 1.0, "1")])
        return NonlinearityPlan(
            tuple(SiteChoice(s.name, operators[s.name]) for s in self._sites if s.name in operators)
        )

    def point(self, plan: NonlinearityPlan) -> Point:
        """The point whose plan is ``plan`` (inverse of ``build``)."""
        chosen = plan.as_mapping()
        point: dict[str, Value] = {
            p.name: tuple(chosen[n] for n in self._groups[p.name]) for p in self._params
        }
        if self._bits is not None:
            point[RELU_BITS] = self._bits.read(plan.choices)
        return point

    def repair(self, point: Point) -> Point:
        """A legal point near ``point``: illegal entries take the first option, then ReLUs go.

        While the budget is exceeded, the smallest ReLU layer that brings the plan within it
        becomes the first other option; if no single layer is enough, the largest one goes first.
        That changes as few layers as a greedy rule can, and depends on nothing but the point.

        Raises:
            InfeasibleCandidate: a parameter is missing or has another length.
        """
        fixed: dict[str, Value] = dict(point)
        for param in self._params:
            value = point.get(param.name)
            members = self._groups[param.name]
            if not isinstance(value, tuple) or len(value) != len(members):
                raise InfeasibleCandidate(self.check(point))
            options = self._options[members[0]]
            fixed[param.name] = tuple(v if v in options else options[0] for v in value)
        if self._max_relus is not None and "activation" in fixed:
            fixed["activation"] = self._within_budget(fixed["activation"])  # type: ignore[arg-type]
        if self._bits is not None:
            chosen = dict(self._fixed)
            chosen |= zip(self._groups["activation"], fixed.get("activation", ()), strict=True)  # type: ignore[arg-type]
            fixed[RELU_BITS] = self._bits.repair(point, chosen)
        return fixed

    def usage(self, payload: NonlinearityPlan) -> Usage[float]:
        """The work of the whole network under ``payload``; see ``NonlinearityPlan.usage``."""
        return payload.usage(self._sites)

    def relaxed_usage(self, shares: Mapping[str, Mapping[str, N]]) -> Usage[N]:
        """The work of the whole network when each free site is a mixture of operators.

        Args:
            shares: free site -> operator -> share (a probability: float, 0-dim tensor, or array
                over many plans). Operators left out have share 0. Fixed sites and sites without
                choice are added whole, as floats.

        Raises:
            ConfigError: a free site is missing, or a name is unknown.
        """
        check_shares(shares, self._options)
        works: list[Work[Any]] = []
        for site in self._sites:
            if site.name in self._options:
                works += [
                    scaled_work(site, work_operator(operator), share)
                    for operator, share in shares[site.name].items()
                ]
            else:
                own = self._fixed.get(site.name)
                works.append(fixed_work(site, None if own is None else work_operator(own)))
        return works

    def decode(self, data: Any) -> NonlinearityPlan | MemberPlan | NestedPlan:
        """The plan from its JSON form, be it of one network or of nested ones."""
        return decode_plan(data)

    def _widths(self, options: Sequence[int]) -> ReluBits:
        if self._granularity != "layer":
            raise ConfigError(
                f"widths are chosen per layer (got granularity {self._granularity})",
                path="space.relu_bits",
            )
        may = {n for n in self._groups["activation"] if "relu" in self._options[n]}
        may |= {n for n, operator in self._fixed.items() if operator == "relu"}
        return ReluBits([s.name for s in self._sites if s.name in may], options)

    def _param(self, name: str) -> Param:
        members = self._groups[name]
        doc = f"operator at each of {len(members)} {name} sites, in execution order"
        return Param(name, Vector(Choice(self._options[members[0]]), len(members)), doc=doc)

    def _in_domain(self, param: Param, value: Value | None) -> bool:
        # One set comparison for the whole vector instead of a type check per entry: `check` runs
        # for every proposal. Strings equal nothing but strings, so types need no look.
        return (
            isinstance(value, tuple)
            and len(value) == len(self._groups[param.name])
            and self._legal[param.name].issuperset(value)
        )

    def _relus(self, activation: Any) -> int:
        return self._fixed_relus + sum(
            n for op, n in zip(activation, self._elements, strict=False) if op == "relu"
        )

    def _within_budget(self, activation: tuple[str, ...]) -> tuple[str, ...]:
        budget = self._max_relus or 0
        options = self._options[self._groups["activation"][0]]
        substitute = next((op for op in options if op != "relu"), "relu")
        entries = list(activation)
        while (excess := self._relus(entries) - budget) > 0:
            relus = [i for i, op in enumerate(entries) if op == "relu"]
            enough = [i for i in relus if self._elements[i] >= excess]
            if enough:
                drop = min(enough, key=lambda i: self._elements[i])
            else:
                drop = max(relus, key=lambda i: self._elements[i])
            entries[drop] = substitute
        return tuple(entries)

    def _check_budget(self, activations: tuple[str, ...]) -> None:
        if self._max_relus is None:
            return
        forced = self._fixed_relus + (sum(self._elements) if activations == ("relu",) else 0)
        if self._max_relus < forced:
            raise ConfigError(
                f"no plan is legal (got {self._max_relus}; the ReLUs that cannot be replaced have "
                f"{forced} elements)",
                path="space.max_relus",
            )


def _short(value: object) -> str:
    text = "nothing" if value is None else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
