"""Families of modes in one set of weights, and how a device computes them.

Modes lie inside one another by construction: a point gives the share of units that the densest mode
keeps of each layer, and by which share every sparser mode steps down. Whether the device can hold
and run a family is judged before anything is trained.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any, ClassVar, Self

from search.api.candidate import Violation
from search.api.domain import Param, Point
from search.api.errors import ConfigError, EvaluationError, InfeasibleCandidate
from search.api.network import Site
from search.api.repair import repair as greedy_repair
from spaces.eve.device.limits import Limits, violations
from spaces.eve.device.table import load_profile
from spaces.eve.encoding import Encoding
from spaces.eve.family import ModeFamily, ModePlan
from spaces.eve.layers import Layer, layers_of
from spaces.eve.options import EveConfig, LimitOptions


class EveSpace:
    """Families of modes of one network.

    Args:
        sites: the network's sites, in execution order.
        config: options; or give them as keywords.

    Raises:
        ConfigError: the network has no layer to thin out, or one that cannot be; the device is not
            known, or cannot run the network.
    """

    kind = "eve"
    Config: ClassVar[type[EveConfig]] = EveConfig

    def __init__(
        self, sites: Sequence[Site], config: EveConfig | None = None, **options: Any
    ) -> None:
        self.config = config or EveConfig(**options)
        self._sites = tuple(sites)
        self._layers = layers_of(self._sites)
        self._encoding = Encoding(self.config, self._layers)
        name = self.config.profile
        self._profile = load_profile(name) if name is not None else None
        self._limits = _limits(self.config.limits)
        self._require_a_device()

    @classmethod
    def from_config(cls, config: EveConfig, workload: Any) -> Self:
        """The space of ``workload``'s network.

        Raises:
            ConfigError: there is no workload, or see the class.
        """
        if workload is None:
            raise ConfigError(
                "eve needs a network (got no workload). Add a `workload:` section.",
                path="workload",
            )
        return cls(workload.sites(), config)

    @property
    def sites(self) -> tuple[Site, ...]:
        """All sites of the network, in execution order."""
        return self._sites

    @property
    def layers(self) -> tuple[Layer, ...]:
        """Its convolutions and linear layers."""
        return self._layers

    def params(self) -> Sequence[Param]:
        """What is chosen; options with one value are no parameters."""
        return self._encoding.params

    def members(self, param: str) -> tuple[str, ...]:
        """The sites (of ``steps`` also the steps) behind the entries of a vector parameter."""
        return self._encoding.members(param)

    def check(self, point: Point) -> Sequence[Violation]:
        """What is wrong with ``point``: domains first, then every limit of the device."""
        found = self._encoding.domain_violations(point)
        if found or self._profile is None:
            return found
        return violations(self._sites, self._encoding.family(point), self._profile, self._limits)

    def build(self, point: Point) -> ModeFamily:
        """The family of ``point``.

        Raises:
            InfeasibleCandidate: ``check`` is not empty.
        """
        found = self.check(point)
        if found:
            raise InfeasibleCandidate(found)
        return self._encoding.family(point)

    def repair(self, point: Point) -> Point:
        """A legal point near ``point``; a legal ``point`` comes back unchanged.

        Raises:
            InfeasibleCandidate: there is no legal point near.
        """
        if not self.check(point):
            return point
        # The seed is fixed: two calls must not differ.
        return greedy_repair(point, self.params(), self.check, random.Random(0), max_checks=1500)

    def decode(self, data: Any) -> ModeFamily | ModePlan:
        """The payload from its JSON form: a family, or one of its modes.

        Raises:
            ConfigError: the data is neither.
        """
        return ModePlan.decode(data) if "level" in data else ModeFamily.decode(data)

    def _require_a_device(self) -> None:
        """Refuse networks that the device cannot run, before any point is tried."""
        rng = random.Random(0)
        point = {p.name: p.domain.sample(rng) for p in self.params()}
        try:
            self.check(point)
        except EvaluationError as error:
            raise ConfigError(
                f"the device cannot run the network: {error}. `profile: null` searches without one",
                path="space.profile",
            ) from error


def _limits(options: LimitOptions) -> Limits:
    return Limits(
        deadlines_s=options.deadlines,
        power_w=None if options.power_mw is None else options.power_mw / 1000,
        fram_bytes=options.fram,
        sram_bytes=options.sram,
    )
