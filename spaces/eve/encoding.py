"""Points and families: which parameters there are, and what a point of them means."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from search.api.candidate import Violation
from search.api.domain import (
    Choice,
    Domain,
    Ordinal,
    Param,
    Point,
    Real,
    ScalarDomain,
    Value,
    Vector,
)
from spaces.eve.family import LayerMode, ModeFamily, ModePlan
from spaces.eve.layers import Layer, count
from spaces.eve.options import EveConfig

EXECUTION = ("tile_side", "tile_filters", "tile_channels", "order", "batch")
"""Parameters of how the device computes a layer."""

DOCS = {
    "modes": "modes in one set of weights",
    "bits": "bits of weights and activations on the device",
    "pool": "kernel patterns of a layer at most",
    "units": "what modes drop of each layer but the last: the finest units, or filters",
    "keep": "share of units that the densest mode keeps of each layer",
    "steps": "share of its units that each mode leaves to the next sparser one, densest first",
    "tile_side": "rows and columns of a tile at most",
    "tile_filters": "output channels of a tile at most",
    "tile_channels": "input channels of a tile at most",
    "order": "loop order",
    "batch": "tiles between two preservations of results",
}
"""Parameter -> meaning."""


class Encoding:
    """What a point of parameters means.

    Args:
        config: options of the space.
        layers: the network's layers, in execution order.
    """

    def __init__(self, config: EveConfig, layers: Sequence[Layer]) -> None:
        self._config, self._layers = config, tuple(layers)
        self._fixed: dict[str, Value] = {}
        params = []
        for name, domain in self._domains():
            if domain.size == 1:
                self._fixed[name] = _only(domain)
            else:
                unit = "bit" if name == "bits" else "1"
                params.append(Param(name, domain, unit, doc=DOCS[name]))
        self.params: tuple[Param, ...] = tuple(params)

    def domain_violations(self, point: Point) -> list[Violation]:
        """Values that are missing or outside their domain; other names are ignored."""
        found = []
        for param in self.params:
            value = point.get(param.name)
            if value is None or not param.domain.contains(value):
                detail = f"{param.name}: got {_short(value)}; expected {param.domain.describe()}"
                found.append(Violation("domain", detail, 1.0, "1"))
        return found

    def family(self, point: Point) -> ModeFamily:
        """The family of ``point``, whose values are in their domains."""
        values: dict[str, Any] = {**self._fixed, **point}
        modes = values["modes"]
        shares = list(self._shares(values, modes))  # densest first
        units = [self._unit(values, i) for i in range(len(self._layers))]
        executions = [self._execution(values, i) for i in range(len(self._layers))]
        plans = []
        for level in range(1, modes + 1):
            kept = []
            for i, layer in enumerate(self._layers):
                there = layer.units(units[i], executions[i].channels)
                last = i == len(self._layers) - 1
                # The last layer's filters are the classes: none of them may go.
                share = 1.0 if last and units[i] == "filter" else shares[modes - level][i]
                number = count(share, there)
                kept.append(LayerMode(layer.site, units[i], number, there, executions[i]))
            plans.append(ModePlan(level, tuple(kept), values["bits"]))
        return ModeFamily(tuple(plans), values["pool"])

    def members(self, param: str) -> tuple[str, ...]:
        """The sites behind the entries of a vector parameter with one entry for each layer."""
        sites = tuple(layer.site for layer in self._layers)
        domain = next((p.domain for p in self.params if p.name == param), None)
        if not isinstance(domain, Vector):
            return ()
        if param == "steps":
            each = sites if self._config.steps == "layer" else ("network",)
            return tuple(f"{s}, step {n + 1}" for n in range(self._most_steps) for s in each)
        return sites[: domain.length]

    @property
    def _most_steps(self) -> int:
        return self._config.modes[-1] - 1

    def _domains(self) -> Iterator[tuple[str, Domain]]:
        config, length = self._config, len(self._layers)
        for name in ("modes", "bits", "pool"):
            yield name, Ordinal(getattr(config, name))
        if config.units == "search" and length > 1:
            yield "units", Vector(Choice(("auto", "filter")), length - 1)
        yield "keep", Vector(Real(config.low, max(config.low, config.high)), length)
        if self._most_steps:
            each = length if config.steps == "layer" else 1
            share = Real(config.step_low, max(config.step_low, config.step_high))
            yield "steps", Vector(share, each * self._most_steps)
        for name in EXECUTION:
            options = getattr(config, name)
            domain: ScalarDomain = Choice(options) if name == "order" else Ordinal(options)
            per_layer = config.execution == "layer" and len(options) > 1
            yield name, Vector(domain, length) if per_layer else domain

    def _shares(self, values: dict[str, Any], modes: int) -> Iterator[tuple[float, ...]]:
        """Share of units of every layer, mode by mode, densest first."""
        share = tuple(values["keep"])
        yield share
        each = len(self._layers) if self._config.steps == "layer" else 1
        for step in range(modes - 1):
            part = values["steps"][step * each : (step + 1) * each]
            share = tuple(s * part[i % each] for i, s in enumerate(share))
            yield share

    def _unit(self, values: dict[str, Any], index: int) -> str:
        layer, chosen = self._layers[index], values.get("units", ())
        return "filter" if index < len(chosen) and chosen[index] == "filter" else layer.unit

    def _execution(self, values: dict[str, Any], index: int) -> Any:
        found = [values[name] for name in EXECUTION]
        own = [v[index] if isinstance(v, tuple) else v for v in found]
        return self._layers[index].execution(*own)


def _only(domain: Domain) -> Value:
    if isinstance(domain, Vector):
        return (_only(domain.element),) * domain.length  # type: ignore[return-value]
    if isinstance(domain, Real):
        return domain.low
    assert isinstance(domain, (Ordinal, Choice))  # see _domains
    return domain.options[0]


def _short(value: object) -> str:
    text = "nothing" if value is None else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
