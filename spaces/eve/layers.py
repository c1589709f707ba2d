"""Convolutions and linear layers of a network as a device sees them, and their units."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from search.api.errors import ConfigError
from search.api.network import Site
from spaces.eve.family import Execution


@dataclass(frozen=True)
class Layer:
    """One convolution or linear layer.

    Args:
        site: name of its site.
        filters: outputs, M.
        channels: input channels of one filter, N; of a linear layer, inputs.
        positions: kernel positions, k * k; 1 for a linear layer.
        rows, columns: output pixels, R and C; 1 for a linear layer.
        linear: whether it is a linear layer.
    """

    site: str
    filters: int
    channels: int
    positions: int
    rows: int
    columns: int
    linear: bool

    @property
    def unit(self) -> str:
        """The finest unit that saves time: kernel positions, blocks of inputs, or filters where
        a convolution has one position only.
        """
        if self.linear:
            return "block"
        return "pattern" if self.positions > 1 else "filter"

    def units(self, unit: str, block: int) -> int:
        """How many units there are; ``block`` inputs make a block."""
        if unit == "pattern":
            return self.positions
        return self.filters * (-(-self.channels // block) if unit == "block" else 1)

    def execution(
        self, tile: int, filters: int, channels: int, order: str, batch: int
    ) -> Execution:
        """Tiles of at most these sizes; none larger than the layer."""
        return Execution(
            rows=min(tile, self.rows),
            columns=min(tile, self.columns),
            filters=min(filters, self.filters),
            channels=min(channels, self.channels),
            order=order,
            batch=batch,
        )


def layers_of(sites: Sequence[Site]) -> tuple[Layer, ...]:
    """All convolutions and linear layers, in execution order.

    Raises:
        ConfigError: there are none, one is called twice, or one is not of two dimensions.
    """
    found = []
    for site in sites:
        if site.kind not in ("conv", "linear"):
            continue
        if "#" in site.name:
            raise ConfigError(
                f"{site.name}: the network calls this layer twice (expected once). Modes would "
                "have to keep the same units in both calls",
                path="workload.network",
            )
        filters = site.output_shape[0]
        if site.kind == "linear":
            if len(site.output_shape) != 1:
                raise ConfigError(
                    f"{site.name}: a linear layer of outputs {list(site.output_shape)} (expected "
                    "one vector per image)",
                    path="workload.network",
                )
            channels = site.weights // filters
            found.append(Layer(site.name, filters, channels, 1, 1, 1, True))
            continue
        if len(site.output_shape) != 3:
            raise ConfigError(
                f"{site.name}: a convolution of outputs {list(site.output_shape)} (expected "
                "channels, rows and columns)",
                path="workload.network",
            )
        channels = site.input_shape[0] // site.attributes.get("groups", 1)
        positions = site.weights // (filters * channels)
        rows, columns = site.output_shape[1:]
        found.append(Layer(site.name, filters, channels, positions, rows, columns, False))
    if not found:
        raise ConfigError(
            "the network has neither convolutions nor linear layers", path="workload.network"
        )
    return tuple(found)


def count(share: float, units: int) -> int:
    """Units that a share in [0, 1] keeps: the nearest number, at least 1."""
    return max(1, min(units, math.floor(share * units + 0.5)))
