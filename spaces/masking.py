"""What a method that finds masks must know: where they may be, in which units, and of how many.

A network has too many activations for an outer searcher (thousands to millions); a method learns
which of them stay ReLU. The space only says what may be chosen, and turns what was found into a
plan.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

from search.api.candidate import Violation
from search.api.errors import ConfigError, InfeasibleCandidate
from search.api.network import N, Site, Usage, Work, fixed_work, part_work
from spaces.plan import ArtefactRef, NonlinearityPlan, SiteChoice, masked_operator, work_operator

Granularity = Literal["layer", "channel", "pixel"]
GRANULARITIES: tuple[Granularity, ...] = ("layer", "channel", "pixel")


@dataclass(frozen=True)
class SiteMask:
    """What a mask leaves of one site.

    Args:
        kept: elements per sample that stay ReLU, from none to all.
        digest: of the mask, see ``search.workloads.masked.mask_digest``.
    """

    kept: int
    digest: str


@dataclass(frozen=True)
class Masking:
    """Where masks may drop ReLUs, and what comes in their place.

    Args:
        sites: the network's sites.
        free: activation sites where a mask decides, in execution order.
        settled: operator at every other site where one is chosen (fixed ones and pools).
        replacement: operator where a mask drops the ReLU.
        granularity: what a mask drops at once: an element, a channel or a layer.
    """

    sites: tuple[Site, ...]
    free: tuple[Site, ...]
    settled: Mapping[str, str]
    replacement: str
    granularity: Granularity = "pixel"

    @property
    def settled_relus(self) -> int:
        """ReLU elements that no mask may drop."""
        return sum(s.elements for s in self.sites if self.settled.get(s.name) == "relu")

    @property
    def total(self) -> int:
        """ReLU elements of the network in which every mask keeps all."""
        return self.settled_relus + sum(s.elements for s in self.free)

    def unit_shape(self, site: Site) -> tuple[int, ...]:
        """Shape of one decision per unit, broadcastable to the site's ``(C, H, W)``."""
        if self.granularity == "pixel":
            return site.input_shape
        channels = site.input_shape[0] if self.granularity == "channel" else 1
        return (channels,) + (1,) * (len(site.input_shape) - 1)

    def unit_elements(self, site: Site) -> int:
        """ReLU elements that one decision at ``site`` keeps or drops."""
        return site.elements // math.prod(self.unit_shape(site))

    def budget(self, percent: float) -> int:
        """ReLU elements of a budget in % of the whole network's; settled ones count too.

        Raises:
            InfeasibleCandidate: below what cannot be dropped, or above all.
        """
        return self.budget_of(round(percent / 100.0 * self.total), f"{percent:g} %")

    def budget_of(self, count: int, words: str = "") -> int:
        """``count`` itself, if that many ReLU elements can stay.

        Raises:
            InfeasibleCandidate: below what cannot be dropped, or above all.
        """
        got = f"got {words or count}"
        if count > self.total:
            detail = f"{got}; the network has {self.total} ReLU elements (100 %)"
            raise InfeasibleCandidate(
                [Violation("relu_budget", detail, float(count - self.total), "1")]
            )
        if count < self.settled_relus:
            detail = f"{got}; {self.settled_relus} ReLU elements are fixed and cannot be dropped"
            if count < 0:
                detail = f"{got}; expected 0 or more"
            raise InfeasibleCandidate(
                [Violation("relu_budget", detail, float(self.settled_relus - count), "1")]
            )
        return count

    def plan(self, masks: Mapping[str, SiteMask]) -> NonlinearityPlan:
        """The plan of ``masks`` (one per free site); whole layers become plain operators.

        Raises:
            ConfigError: a free site has no mask, or one keeps more elements than there are.
        """
        free = {site.name for site in self.free}
        if free != masks.keys():
            raise ConfigError(f"expected one mask for each of {len(free)} sites (got {len(masks)})")
        choices = []
        for site in self.sites:
            if site.name in free:
                choices.append(self._choice(site, masks[site.name]))
            elif site.name in self.settled:
                choices.append(SiteChoice(site.name, self.settled[site.name]))
        return NonlinearityPlan(tuple(choices))

    def usage(self, kept: Mapping[str, N]) -> Usage[N]:
        """The work of the whole network when free site ``s`` keeps ``kept[s]`` ReLU elements.

        Both operators of a masked site are started, however few elements they get; at 0 and at all
        elements that is more than the plan of whole layers does, and has no gradient. Amounts may
        be floats, tensors or arrays over many plans.
        """
        free = {site.name for site in self.free}
        works: list[Work[Any]] = []
        for site in self.sites:
            if site.name in free:
                amount = kept[site.name]
                works.append(part_work(site, "relu", amount))
                works.append(part_work(site, self.replacement, float(site.elements) - amount))
            else:
                own = self.settled.get(site.name)
                works.append(fixed_work(site, None if own is None else work_operator(own)))
        return works

    def _choice(self, site: Site, mask: SiteMask) -> SiteChoice:
        if not 0 <= mask.kept <= site.elements:
            raise ConfigError(f"{site.name}: a mask keeps {mask.kept} of {site.elements} elements")
        if mask.kept == 0:
            return SiteChoice(site.name, self.replacement)
        if mask.kept == site.elements:
            return SiteChoice(site.name, "relu")
        artefacts = (ArtefactRef("mask", mask.digest),)
        return SiteChoice(site.name, masked_operator(self.replacement), artefacts, mask.kept)


@runtime_checkable
class Maskable(Protocol):
    """A space in which a method may place masks."""

    @property
    def masking(self) -> Masking:
        """Where, in which units, and what replaces a dropped ReLU.

        Raises:
            ConfigError: the space's options leave no single replacement.
        """
        ...
