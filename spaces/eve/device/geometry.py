"""Shapes of layers as the device sees them, and which inputs a mode's dropped filters spare."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from search.api.errors import EvaluationError
from search.api.network import Site
from spaces.eve.family import LayerMode, ModePlan

LAYERS = ("conv", "linear")


@dataclass(frozen=True)
class Geometry:
    """One convolution or linear layer; numbers of filters and channels are those of one group.

    Args:
        rows, columns: of the output.
        filters: outputs of a pixel.
        channels: inputs of a pixel.
        kernel: rows and columns of the kernel.
        stride: of both.
        padding: on each side.
        size: rows and columns of the input.
        groups: equal parts that do not see one another.
    """

    rows: int
    columns: int
    filters: int
    channels: int
    kernel: tuple[int, int]
    stride: int
    padding: int
    size: tuple[int, int]
    groups: int = 1

    @property
    def positions(self) -> int:
        """Of the kernel."""
        return self.kernel[0] * self.kernel[1]

    def units(self, layer: LayerMode) -> int:
        """How many units of ``layer.unit`` there are, dropped ones included."""
        if layer.unit == "pattern":
            return self.positions
        if layer.unit == "filter":
            return self.filters * self.groups
        runs = math.ceil(self.channels / layer.execution.channels)
        return runs * self.positions * self.filters * self.groups


def geometry_of(site: Site) -> Geometry:
    """The shapes of ``site``, a convolution over rows and columns (or columns alone) or a linear
    layer.

    Raises:
        EvaluationError: it is neither.
    """
    if site.kind == "linear":
        pixels = math.prod(site.output_shape[:-1])
        return Geometry(pixels, 1, site.output_shape[-1], site.input_shape[-1], (1, 1), 1, 0,
                        (pixels, 1))  # fmt: skip
    if site.kind != "conv" or len(site.output_shape) not in (2, 3):
        raise EvaluationError(
            f"{site.name}: the device runs convolutions of rows and columns and linear layers "
            f"(got {site.operator} of output {site.output_shape})"
        )
    a = site.attributes
    groups = a.get("groups", 1)
    filters, channels = site.output_shape[0] // groups, site.input_shape[0] // groups
    side = a.get("kernel")
    if side is None:
        raise EvaluationError(f"{site.name}: the device runs square kernels only")
    flat = len(site.output_shape) == 2
    rows = 1 if flat else site.output_shape[1]
    size = (1 if flat else site.input_shape[1], site.input_shape[-1])
    return Geometry(rows, site.output_shape[-1], filters, channels, (1 if flat else side, side),
                    a.get("stride", 1), a.get("padding", 0), size, groups)  # fmt: skip


def layers_of(sites: Sequence[Site], mode: ModePlan) -> dict[str, tuple[Geometry, LayerMode]]:
    """Name of each convolution and linear layer -> its shapes and what the mode keeps of it.

    Raises:
        EvaluationError: the mode has no entry for a layer, an entry for none, or other units than
            the layer has.
    """
    by_name = {layer.site: layer for layer in mode.layers}
    found = {}
    for site in sites:
        if site.kind not in LAYERS:
            continue
        layer = by_name.pop(site.name, None)
        if layer is None:
            raise EvaluationError(f"{site.name}: the mode says nothing about this layer")
        geometry = geometry_of(site)
        if not 1 <= layer.kept <= layer.units or layer.units != geometry.units(layer):
            raise EvaluationError(
                f"{site.name}: the mode keeps {layer.kept} of {layer.units} {layer.unit} units "
                f"(expected 1 to {geometry.units(layer)} of {geometry.units(layer)}). "
                "Was it made for another network?"
            )
        found[site.name] = (geometry, layer)
    if by_name:
        raise EvaluationError(f"mode: {next(iter(by_name))!r} is no layer of the network")
    return found


def kept_inputs(
    sites: Sequence[Site], layers: Mapping[str, tuple[Geometry, LayerMode]]
) -> Mapping[str, float]:
    """Share of each site's inputs that is not dropped, in (0, 1].

    Dropped filters give channels of zeros, which the next layers leave out. That is followed
    through chains only: in a network with branches every input counts as there, which never makes
    a mode look better than it is.

    Args:
        sites: of the network.
        layers: what :func:`layers_of` found.
    """
    chain = is_chain(sites)
    share, found = 1.0, {}
    for site in sites:
        found[site.name] = share
        if site.name in layers:
            geometry, layer = layers[site.name]
            if geometry.groups > 1:
                found[site.name] = 1.0  # a group's channels are not shortened
            share = layer.keep if chain and layer.unit == "filter" else 1.0
    return found


def is_chain(sites: Sequence[Site]) -> bool:
    """Whether every site takes what the one before it gives, and nothing else."""
    if any(site.kind == "add" or site.operator in ("mul", "matmul") for site in sites):
        return False
    return all(a.outputs == b.elements for a, b in zip(sites, sites[1:], strict=False))
