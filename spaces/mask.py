"""Mask density: how many ReLUs each layer keeps, for an outer searcher to choose.

Which elements of a layer stay is left to a method. So the searcher sees one number per layer and
not one per element, and whole layers without any ReLU, which alone save rounds, are in its reach.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field

from search.api.candidate import Violation
from search.api.domain import Param, Point, Real, Value, Vector
from search.api.errors import ConfigError, InfeasibleCandidate
from search.api.network import Site, Usage
from spaces.masking import Masking
from spaces.plan import NonlinearityPlan, SiteChoice, masked_operator
from spaces.relu import ReluPlacement
from spaces.sharing import share_out, whole_units

GRANULARITIES = ("pixel", "channel")


class MaskDensityConfig(BaseModel):
    """Options of ``space: {name: mask_density}``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    granularity: str = Field("pixel", description="what a mask drops at once: pixel or channel")
    activations: tuple[str, ...] = Field(
        ("x2act", "relu"),
        description="relu and the operator that replaces it: x2act, identity, poly1 to poly4",
    )
    pools: tuple[str, ...] = Field(("avg", "max"), description="max pools become the first of them")
    fixed: dict[str, str] = Field(
        default_factory=dict,
        description="site name or glob -> operator; these sites are not searched",
    )
    relu_budget: float | None = Field(
        None,
        ge=0,
        le=100,
        description="ReLU elements that may stay, in % of the network's (fixed ones count); any "
        "number if absent",
    )
    off_below: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="values of `density` up to this leave a layer no ReLU, and those above are "
        "spread over 0 to 1; so layers without ReLUs, which save rounds, are proposed at all",
    )


@dataclass(frozen=True)
class Densities:
    """How many ReLUs each site keeps, without saying which.

    Args:
        granularity: what a mask drops at once.
        choices: in execution order; a masked operator has ``kept`` and no mask.
    """

    granularity: str
    choices: tuple[SiteChoice, ...]

    def kept(self, sites: Sequence[Site]) -> dict[str, int]:
        """Activation site -> ReLU elements it keeps."""
        elements = {site.name: site.elements for site in sites if site.kind == "activation"}
        return {
            c.site: c.kept if c.kept is not None else elements[c.site] * (c.operator == "relu")
            for c in self.choices
            if c.site in elements
        }

    def usage(self, sites: Sequence[Site]) -> Usage[float]:
        """The work of the whole network; that of any plan with these counts.

        Raises:
            EvaluationError: a site the network does not have, or a count that cannot be.
        """
        return NonlinearityPlan(self.choices).usage(sites)


class MaskDensity:
    """The share of ReLUs that each activation keeps.

    Args:
        sites: the network's sites, in execution order.
        granularity: ``pixel`` or ``channel``: counts are multiples of a unit.
        activations: ``relu`` and the operator that replaces it.
        pools: max pools all become the first.
        fixed: site name or glob -> operator; these sites leave the search.
        relu_budget: ReLU elements that may stay, in % of the whole network's; None: any number.
        off_below: values of ``density`` up to this leave a layer no ReLU.

    Raises:
        ConfigError: an unknown granularity, operator or site; no single replacement; a budget
            that cannot be.
    """

    kind = "mask_density"
    Config: ClassVar[type[MaskDensityConfig]] = MaskDensityConfig

    def __init__(
        self,
        sites: Sequence[Site],
        granularity: str = "pixel",
        *,
        activations: Sequence[str] = ("x2act", "relu"),
        pools: Sequence[str] = ("avg", "max"),
        fixed: Mapping[str, str] | None = None,
        relu_budget: float | None = None,
        off_below: float = 0.0,
    ) -> None:
        if granularity not in GRANULARITIES:
            raise ConfigError(
                f"unknown value {granularity!r} (known: {', '.join(GRANULARITIES)})",
                path="space.granularity",
            )
        if not 0 <= off_below < 1:
            raise ConfigError(
                f"expected a number from 0 to below 1 (got {off_below})", path="space.off_below"
            )
        placement = ReluPlacement(
            sites, granularity, activations=activations, pools=pools, fixed=fixed
        )
        self._masking = placement.masking
        if not self._masking.free:
            raise ConfigError("nothing to choose: no activation is free", path="space")
        self._off_below = off_below
        self._budget: int | None = None
        if relu_budget is not None:
            try:
                self._budget = self._masking.budget(relu_budget)
            except InfeasibleCandidate as error:
                detail = error.violations[0].detail
                raise ConfigError(detail, path="space.relu_budget") from error
        self._whole = tuple(
            (s.name, s.elements, self._masking.unit_elements(s)) for s in self._masking.free
        )

    @classmethod
    def from_config(cls, config: MaskDensityConfig, workload: Any) -> Self:
        """The space of ``workload``'s network.

        Raises:
            ConfigError: there is no workload, or an option is wrong.
        """
        if workload is None:
            raise ConfigError(
                "mask_density needs a network (got no workload). Add a `workload:` section.",
                path="workload",
            )
        return cls(
            workload.sites(),
            config.granularity,
            activations=config.activations,
            pools=config.pools,
            fixed=config.fixed,
            relu_budget=config.relu_budget,
            off_below=config.off_below,
        )

    @property
    def sites(self) -> tuple[Site, ...]:
        """All sites of the network, in execution order."""
        return self._masking.sites

    @property
    def masking(self) -> Masking:
        """Where masks may drop ReLUs, and what replaces them."""
        return self._masking

    @property
    def budget(self) -> int | None:
        """ReLU elements that may stay, fixed ones included; None: any number."""
        return self._budget

    def params(self) -> Sequence[Param]:
        """``density``: one number from 0 to 1 for each free activation, in execution order."""
        doc = f"share of ReLUs that each of {len(self._whole)} activations keeps, in order"
        return (Param("density", Vector(Real(0.0, 1.0), len(self._whole)), doc=doc),)

    def members(self, param: str) -> tuple[str, ...]:
        """The free sites behind the entries of ``density``."""
        return tuple(name for name, _, _ in self._whole)

    def check(self, point: Point) -> Sequence[Violation]:
        """What is wrong with ``point``: its domain, then the budget. Other names are ignored."""
        value = point.get("density")
        domain = self.params()[0].domain
        if value is None or not domain.contains(value):
            got = "nothing" if value is None else _short(value)
            detail = f"density: got {got}; expected {domain.describe()}"
            return (Violation("domain", detail, 1.0, "1"),)
        if self._budget is None:
            return ()
        total = self._masking.settled_relus + sum(self._kept(value).values())
        if total <= self._budget:
            return ()
        detail = f"got {total} ReLU elements; at most {self._budget} allowed"
        return (Violation("relu_budget", detail, float(total - self._budget), "1"),)

    def build(self, point: Point) -> Densities:
        """The counts of ``point``, fixed sites included.

        Raises:
            InfeasibleCandidate: ``check`` is not empty.
        """
        violations = self.check(point)
        if violations:
            raise InfeasibleCandidate(violations)
        return self.densities(self._kept(point["density"]))

    def densities(self, kept: Mapping[str, int]) -> Densities:
        """The counts as a payload; a layer that keeps all or none gets a plain operator.

        Args:
            kept: free site -> ReLU elements it keeps.

        Raises:
            InfeasibleCandidate: a site is missing, or keeps more than it has or fewer than none.
        """
        replacement = self._masking.replacement
        choices = []
        for site in self._masking.sites:
            if site.name in self._masking.settled:
                choices.append(SiteChoice(site.name, self._masking.settled[site.name]))
            elif site.kind == "activation":
                count = kept.get(site.name, -1)
                if not 0 <= count <= site.elements:
                    detail = f"{site.name}: got {kept.get(site.name)} of {site.elements} elements"
                    raise InfeasibleCandidate([Violation("domain", detail, 1.0, "1")])
                if 0 < count < site.elements:
                    operator = masked_operator(replacement)
                    choices.append(SiteChoice(site.name, operator, kept=count))
                else:
                    choices.append(SiteChoice(site.name, "relu" if count else replacement))
        return Densities(self._masking.granularity, tuple(choices))

    def point(self, densities: Densities) -> Point:
        """A point with the counts of ``densities`` (inverse of ``build`` up to rounding)."""
        return {"density": self._values(densities.kept(self._masking.sites))}

    def repair(self, point: Point) -> Point:
        """A legal point near ``point``: into the domain, then scaled down to the budget.

        All counts are scaled by one factor, so that the sum of pixels is the budget exactly; that
        of channels misses it by less than a channel.

        Raises:
            InfeasibleCandidate: the parameter is missing, has another length, or is not of
                numbers.
        """
        value = point.get("density")
        if not isinstance(value, tuple) or len(value) != len(self._whole):
            raise InfeasibleCandidate(self.check(point))
        if any(isinstance(v, str) or math.isnan(v) for v in value):
            raise InfeasibleCandidate(self.check(point))
        inside = tuple(min(1.0, max(0.0, float(v))) for v in value)
        legal: dict[str, Value] = dict(point)
        legal["density"] = value if self.params()[0].domain.contains(value) else inside
        if self.check(legal):
            counts = {name: float(kept) for name, kept in self._kept(inside).items()}
            scaled = share_out(counts, self._masking, self._budget or 0)
            units = whole_units(scaled, self._masking)
            legal["density"] = self._values({n: units[n] * u for n, _, u in self._whole})
        return legal

    def usage(self, payload: Densities | NonlinearityPlan) -> Usage[float]:
        """The work of the whole network under ``payload``."""
        return payload.usage(self._masking.sites)

    def relaxed_usage(self, kept: Mapping[str, Any]) -> Usage[Any]:
        """The same for amounts that may be tensors or arrays over plans; see ``Masking.usage``."""
        return self._masking.usage(kept)

    def decode(self, data: Any) -> Densities | NonlinearityPlan:
        """The payload from its JSON form: counts, or the plan that a method made of them.

        Raises:
            ConfigError: the data is neither.
        """
        plan = NonlinearityPlan.decode(data)
        if "granularity" not in data:
            return plan
        if data["granularity"] not in GRANULARITIES:
            raise ConfigError(f"not densities (got granularity {data['granularity']!r})")
        return Densities(data["granularity"], plan.choices)

    def _kept(self, value: Any) -> dict[str, int]:
        """Free site -> elements of the vector ``value``, whole units."""
        low = self._off_below
        return {
            name: unit * round(max(0.0, (v - low) / (1.0 - low)) * (elements // unit))
            for v, (name, elements, unit) in zip(value, self._whole, strict=True)
        }

    def _values(self, kept: Mapping[str, int]) -> tuple[float, ...]:
        """Entries of ``density`` that give ``kept``; none where a layer is off."""
        low = self._off_below
        return tuple(
            min(1.0, low + (1.0 - low) * kept[name] / elements) if kept[name] else 0.0
            for name, elements, _ in self._whole
        )


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
