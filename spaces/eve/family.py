"""Payload of EVE: modes of rising density in one set of weights, and how the device runs them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from search.api.errors import ConfigError

UNITS = ("pattern", "filter", "block")
"""What a mode keeps or drops at once, see :class:`LayerMode`."""

ORDERS = ("reuse_I", "reuse_W", "reuse_O")
"""Loop orders: which of inputs, weights and outputs stays in fast memory longest."""


@dataclass(frozen=True)
class Execution:
    """How the device computes one layer, tile by tile.

    Args:
        rows, columns: output pixels of a tile (Tr, Tc).
        filters: output channels of a tile (Tm).
        channels: input channels of a tile (Tn), the length of a vector operation.
        order: one of :data:`ORDERS`.
        batch: tiles computed between two preservations of results (S).

    Source: iNAS (EMCLab-Sinica, Intermittent-aware-NAS): its execution space.
    """

    rows: int
    columns: int
    filters: int
    channels: int
    order: str = "reuse_O"
    batch: int = 1


@dataclass(frozen=True)
class LayerMode:
    """What one mode keeps of one layer.

    A vector operation multiplies a run of input channels (of inputs, in a linear layer) by weights
    of one filter and kernel position, so only dropping whole runs saves time. Units are

    - ``pattern``: kernel positions. Each filter keeps ``kept`` of its ``units`` positions over all
      input channels; filters take their patterns from a pool that the layer shares;
    - ``filter``: whole filters (outputs);
    - ``block``: runs of ``execution.channels`` inputs of one output of a linear layer; kept
      anywhere in the layer.

    Args:
        site: name of the layer's site.
        unit: one of :data:`UNITS`.
        kept: units that stay, at least 1.
        units: units there are.
        execution: how the device computes the layer.
    """

    site: str
    unit: str
    kept: int
    units: int
    execution: Execution

    @property
    def keep(self) -> float:
        """Share of the units that stays, in (0, 1]."""
        return self.kept / self.units


@dataclass(frozen=True)
class ModePlan:
    """One mode.

    Args:
        level: 1 is the sparsest mode.
        layers: every convolution and linear layer, in execution order.
        bits: of weights and activations on the device, 8 or 16.
    """

    level: int
    layers: tuple[LayerMode, ...]
    bits: int

    def as_mapping(self) -> dict[str, str]:
        """Site -> operator: none, since the network's operators stay as they are."""
        return {}

    def masks(self) -> dict[str, str]:
        """Site -> digest of its mask: none; the weights file holds a level for each weight."""
        return {}

    @classmethod
    def decode(cls, data: Any) -> ModePlan:
        """The mode from its JSON form.

        Raises:
            ConfigError: the data has another form.
        """
        try:
            layers = tuple(
                LayerMode(str(e["site"]), _one_of(e["unit"], UNITS), int(e["kept"]),
                          int(e["units"]), _execution(e["execution"]))
                for e in data["layers"]
            )  # fmt: skip
            return cls(int(data["level"]), layers, int(data["bits"]))
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigError(
                "not a mode of a family (expected level, layers and bits; "
                f"{type(error).__name__}: {error})"
            ) from error


@dataclass(frozen=True)
class ModeFamily:
    """All modes of one set of weights: what a mode keeps, every denser one keeps too.

    Args:
        members: sparsest first; levels 1, 2, ...
        pool: patterns that the filters of a layer may choose from.

    Raises:
        ConfigError: no mode, levels out of order, modes of different layers or bits, or a mode
            that keeps more of a layer than a denser one.
    """

    members: tuple[ModePlan, ...]
    pool: int = 8

    def __post_init__(self) -> None:
        levels = tuple(mode.level for mode in self.members)
        if not levels or levels != tuple(range(1, len(levels) + 1)):
            raise ConfigError(f"expected modes of levels 1, 2, ... in order (got {levels})")
        for sparse, dense in zip(self.members, self.members[1:], strict=False):
            if sparse.bits != dense.bits:
                raise ConfigError(f"modes of {sparse.bits} and {dense.bits} bits share no weights")
            for a, b in zip(sparse.layers, dense.layers, strict=False):
                if (a.site, a.unit, a.units) != (b.site, b.unit, b.units) or a.kept > b.kept:
                    raise ConfigError(
                        f"{a.site}: level {sparse.level} keeps {a.kept} of {a.units} {a.unit} "
                        f"units, level {dense.level} {b.kept} of {b.units} {b.unit} units at "
                        f"{b.site} (expected the same units, never fewer)"
                    )
            if len(sparse.layers) != len(dense.layers):
                raise ConfigError("modes of different layers share no weights")

    @property
    def bits(self) -> int:
        """Of weights and activations on the device."""
        return self.members[0].bits

    def as_mapping(self) -> dict[str, str]:
        """Site -> operator: none, since the network's operators stay as they are."""
        return {}

    @classmethod
    def decode(cls, data: Any) -> ModeFamily:
        """The family from its JSON form.

        Raises:
            ConfigError: the data has another form.
        """
        try:
            members, pool = data["members"], int(data["pool"])
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigError(
                "not a family of modes (expected members and pool; "
                f"{type(error).__name__}: {error})"
            ) from error
        return cls(tuple(ModePlan.decode(entry) for entry in members), pool)


def _execution(data: Any) -> Execution:
    return Execution(
        int(data["rows"]), int(data["columns"]), int(data["filters"]), int(data["channels"]),
        _one_of(data["order"], ORDERS), int(data["batch"]),
    )  # fmt: skip


def _one_of(value: Any, known: tuple[str, ...]) -> str:
    if value not in known:
        raise ValueError(f"unknown value {value!r} (known: {', '.join(known)})")
    return str(value)
