"""Payload of networks that lie inside one another: one set of weights, several densities.

The sparsest member's weights and ReLUs are part of the next one's, and so on to the densest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from search.api.errors import ConfigError, EvaluationError
from search.api.network import Site, Usage, Work
from spaces.plan import NonlinearityPlan


@dataclass(frozen=True)
class KeptWeights:
    """How many weights of one convolution or linear layer a member has.

    Args:
        site: name of the layer's site.
        nonzeros: weight entries that stay, from none to all; bias left out.
    """

    site: str
    nonzeros: int


@dataclass(frozen=True)
class MemberPlan:
    """One member: which ReLUs stay, and how many weights of each layer.

    Args:
        level: 1 is the sparsest member.
        density: share of the weights, and of the ReLUs where masks decide, that stay.
        plan: the operator at every site.
        weights: of every layer whose weights are thinned out.
    """

    level: int
    density: float
    plan: NonlinearityPlan
    weights: tuple[KeptWeights, ...]

    def as_mapping(self) -> dict[str, str]:
        """Site name -> operator, in execution order."""
        return self.plan.as_mapping()

    def masks(self) -> dict[str, str]:
        """Site name -> digest of its mask, for the masked sites."""
        return self.plan.masks()

    def usage(self, sites: Sequence[Site]) -> Usage[float]:
        """The work of the whole network; multiply-accumulates shrink with the weights.

        A layer with a share s of its weights does s of its multiply-accumulates: where the weights
        are public, or where it is public which of them are zero. Its inputs and outputs are still
        exchanged whole.

        Raises:
            EvaluationError: a layer is not in the network, or has more weights than it can have.
        """
        known = {site.name: site for site in sites}
        for kept in self.weights:
            site = known.get(kept.site)
            if site is None or not 0 <= kept.nonzeros <= site.weights:
                has = "is not in the network" if site is None else f"has {site.weights}"
                raise EvaluationError(
                    f"member of density {self.density:g}: {kept.nonzeros} weights at layer "
                    f"{kept.site!r}, which {has}. Was the plan made for another network?"
                )
        nonzeros = {kept.site: kept.nonzeros for kept in self.weights}
        return [_thinned(work, nonzeros) for work in self.plan.usage(sites)]

    @classmethod
    def decode(cls, data: Any) -> MemberPlan:
        """The member from its JSON form.

        Raises:
            ConfigError: the data has another form.
        """
        try:
            weights = tuple(
                KeptWeights(str(entry["site"]), int(entry["nonzeros"])) for entry in data["weights"]
            )
            level, density = int(data["level"]), float(data["density"])
            return cls(level, density, NonlinearityPlan.decode(data["plan"]), weights)
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigError(
                "not a member of nested networks (expected level, density, plan and weights; "
                f"{type(error).__name__}: {error})"
            ) from error


@dataclass(frozen=True)
class NestedPlan:
    """All members of one set of weights.

    Args:
        members: sparsest first; levels 1, 2, ... and rising densities.

    Raises:
        ConfigError: there is no member, or they are out of order.
    """

    members: tuple[MemberPlan, ...]

    def __post_init__(self) -> None:
        levels = tuple(member.level for member in self.members)
        if not levels or levels != tuple(range(1, len(levels) + 1)):
            raise ConfigError(f"expected members of levels 1, 2, ... in order (got {levels})")
        if any(a >= b for a, b in zip(self.densities, self.densities[1:], strict=False)):
            raise ConfigError(f"expected rising densities (got {self.densities})")

    @property
    def densities(self) -> tuple[float, ...]:
        """Density of each member, rising."""
        return tuple(member.density for member in self.members)

    @classmethod
    def decode(cls, data: Any) -> NestedPlan:
        """The plan from its JSON form.

        Raises:
            ConfigError: the data has another form.
        """
        if not isinstance(data, Mapping) or not isinstance(data.get("members"), (list, tuple)):
            raise ConfigError("not a plan of nested networks (expected {'members': [...]})")
        return cls(tuple(MemberPlan.decode(entry) for entry in data["members"]))


def decode_plan(data: Any) -> NonlinearityPlan | MemberPlan | NestedPlan:
    """Whichever plan ``data`` is the JSON form of.

    Raises:
        ConfigError: it is none.
    """
    if isinstance(data, Mapping) and "members" in data:
        return NestedPlan.decode(data)
    if isinstance(data, Mapping) and "level" in data:
        return MemberPlan.decode(data)
    return NonlinearityPlan.decode(data)


def _thinned(work: Work[float], nonzeros: Mapping[str, int]) -> Work[float]:
    kept = nonzeros.get(work.site)
    if kept is None or not work.weights:
        return work
    return replace(work, macs=work.macs * kept / work.weights, weights=kept)
