"""Layers as matrices, and the units that each structure keeps or drops at once."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from search.api.errors import ConfigError
from search.api.network import Site
from spaces.pruning.plan import STRUCTURES

ORDER = ("filter", "channel", "column", "pattern", "nm", "element")
"""Structures of one layer in the order in which they apply: rows first."""

_TOGETHER = frozenset(
    frozenset(names)
    for names in (
        ("filter", "column"), ("filter", "channel"), ("filter", "pattern"), ("filter", "nm"),
        ("channel", "pattern"), ("filter", "channel", "pattern"),
    )
)  # fmt: skip


@dataclass(frozen=True)
class Layer:
    """The weights of a convolution or linear layer, as a matrix.

    Args:
        name: of its site.
        rows: filters (outputs).
        inputs: input channels that one filter reads.
        positions: of a kernel; 1 for a linear layer.
        pixels: output positions per sample: each weight is used at each of them.
    """

    name: str
    rows: int
    inputs: int
    positions: int
    pixels: int

    @property
    def columns(self) -> int:
        """Columns of the matrix: kernel positions of each input channel."""
        return self.inputs * self.positions

    @property
    def weights(self) -> int:
        """Entries of the matrix."""
        return self.rows * self.columns

    def units(self, structure: str, group: int = 4) -> int:
        """How many units of ``structure`` there are; for ``nm`` those of a group, ``group``."""
        if structure == "element":
            return self.weights
        if structure == "filter":
            return self.rows
        if structure == "column":
            return self.columns
        if structure == "channel":
            return self.inputs
        return self.positions if structure == "pattern" else group

    def lacks(self, structure: str, group: int = 4) -> str:
        """Why nothing can be dropped by ``structure``; empty if something can."""
        if structure == "nm" and self.inputs % group:
            return f"{self.inputs} input channels are no multiple of {group}"
        units = self.units(structure, group)
        return "" if units > 1 else f"it has {units} of them"


def layers_of(sites: Iterable[Site]) -> tuple[Layer, ...]:
    """The layers whose weights can be pruned, in execution order.

    Convolutions and linear layers; a module that is called more than once counts once. Left out
    are transposed convolutions, whose weights are no matrix of a row for each output, and
    convolutions whose weights belong to no module.
    """
    found = []
    for site in sites:
        if site.kind not in ("conv", "linear") or not site.weights or "#" in site.name:
            continue
        if site.kind == "conv" and "groups" not in site.attributes:
            continue
        rows = site.output_shape[0] if site.kind == "conv" else site.output_shape[-1]
        pixels, positions = site.outputs // rows, positions_of(site)
        if site.weights % (rows * positions) or site.macs != pixels * site.weights:
            continue
        inputs = site.weights // (rows * positions)
        found.append(Layer(site.name, rows, inputs, positions, pixels))
    return tuple(found)


def positions_of(site: Site) -> int:
    """Positions of a site's kernel; 1 where it has none."""
    if "kernel" in site.attributes:
        axes = max(1, len(site.output_shape) - 1)
        return int(site.attributes["kernel"] ** axes)
    return math.prod(v for k, v in site.attributes.items() if k.startswith("kernel_"))


def combined(names: Sequence[str], path: str) -> tuple[str, ...]:
    """The structures of one layer, in the order of :data:`ORDER`.

    Only those go together whose kept weights are the product of what each keeps.

    Raises:
        ConfigError: an unknown structure, one given twice, or some that do not go together.
    """
    for name in names:
        if name not in STRUCTURES:
            raise ConfigError(
                f"unknown structure {name!r} (known: {', '.join(STRUCTURES)})", path=path
            )
    if not names or len(set(names)) < len(names):
        raise ConfigError(f"expected different structures (got {list(names)!r})", path=path)
    if len(names) > 1 and frozenset(names) not in _TOGETHER:
        known = sorted("+".join(sorted(n, key=ORDER.index)) for n in _TOGETHER)
        raise ConfigError(
            f"{' and '.join(names)} do not go together in one layer (expected one of "
            f"{', '.join(known)})",
            path=path,
        )
    return tuple(sorted(names, key=ORDER.index))
