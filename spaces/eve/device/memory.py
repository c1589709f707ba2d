"""Bytes of a family in the device's FRAM, beside what separate models would take.

The weights of the densest mode are stored once. What lets the device take a mode out is

- ``pattern``: an index into the layer's pool for each filter; a pattern is an order of positions,
  of which a mode takes the first ones, so a mode adds one count for each layer;
- ``filter``: for each stored filter the sparsest mode that has it;
- ``block``: the same for each run, or that none has it.

Biases (and scales and shifts of batch norms) belong to each mode alone. A separate model stores
its own weights, biases, pattern indices and a bit for each run; it needs no levels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from search.api.network import Site
from spaces.eve.device.geometry import Geometry, kept_inputs, layers_of
from spaces.eve.device.table import Profile
from spaces.eve.family import LayerMode, ModeFamily, ModePlan

_BIAS_BITS = 16


@dataclass(frozen=True)
class FamilyMemory:
    """Bytes of one family.

    Args:
        weights: of the densest mode, once.
        levels: of what tells modes apart.
        private: biases and norms of all modes.
        buffers: the two largest neighbouring feature maps.
        code: program and its tables.
        separate: weights, structure and biases of one model for each mode.
    """

    weights: int
    levels: int
    private: int
    buffers: int
    code: int
    separate: int

    @property
    def total(self) -> int:
        """All that lies in FRAM [B]."""
        return self.model + self.buffers + self.code

    @property
    def model(self) -> int:
        """The models alone [B], without code and buffers, which separate models would share."""
        return self.weights + self.levels + self.private

    @property
    def share(self) -> float:
        """:attr:`model` as a share of :attr:`separate`."""
        return self.model / self.separate


def family_memory(sites: Sequence[Site], family: ModeFamily, profile: Profile) -> FamilyMemory:
    """The bytes of ``family``.

    Raises:
        EvaluationError: a mode does not fit the network.
    """
    densest, bits, modes = family.members[-1], family.bits, len(family.members)
    sparsest = {layer.site: layer for layer in family.members[0].layers}
    levels = sum(
        _level_bits(shape, sparsest[name], layer, modes, family.pool)
        for name, (shape, layer) in layers_of(sites, densest).items()
    )
    private = _private_bits(sites)
    separate = sum(
        _bytes(_weights(sites, mode) * bits)
        + _bytes(private)
        + _bytes(_structure_bits(sites, mode, family.pool))
        for mode in family.members
    )
    moving = [s for s in sites if s.kind in ("conv", "linear", "pool", "add")] or list(sites)
    return FamilyMemory(
        _bytes(_weights(sites, densest) * bits),
        _bytes(levels),
        modes * _bytes(private),
        _bytes(max(s.elements + s.outputs for s in moving) * bits),
        round(profile.value("code")),
        separate,
    )


def _weights(sites: Sequence[Site], mode: ModePlan) -> int:
    """Weights that a mode has; those for dropped inputs are not stored."""
    layers = layers_of(sites, mode)
    inputs = kept_inputs(sites, layers)
    return sum(
        math.ceil(_kept(shape, layer) * inputs[name]) for name, (shape, layer) in layers.items()
    )


def _kept(shape: Geometry, layer: LayerMode) -> int:
    whole = shape.filters * shape.groups * shape.channels * shape.positions
    if layer.unit == "block":
        return min(whole, layer.kept * layer.execution.channels)
    return whole * layer.kept // layer.units


def _level_bits(
    shape: Geometry, sparsest: LayerMode, densest: LayerMode, modes: int, pool: int
) -> int:
    if densest.unit == "pattern":
        if sparsest.kept == densest.units:
            return 0
        return _pattern_bits(shape, pool) + 8 * modes
    if sparsest.kept == densest.units or (densest.unit == "filter" and modes == 1):
        return 0
    if densest.unit == "filter":
        same = sparsest.kept == densest.kept
        return 0 if same else densest.kept * math.ceil(math.log2(modes))
    return densest.units * math.ceil(math.log2(modes + 1))


def _structure_bits(sites: Sequence[Site], mode: ModePlan, pool: int) -> int:
    """What a separate model of ``mode`` stores besides its weights."""
    found = 0
    for shape, layer in layers_of(sites, mode).values():
        if layer.kept < layer.units and layer.unit == "pattern":
            found += _pattern_bits(shape, pool)
        elif layer.kept < layer.units and layer.unit == "block":
            found += layer.units
    return found


def _pattern_bits(shape: Geometry, pool: int) -> int:
    index = math.ceil(math.log2(pool)) if pool > 1 else 0
    table = pool * shape.positions * math.ceil(math.log2(max(2, shape.positions)))
    return shape.filters * shape.groups * index + table


def _private_bits(sites: Sequence[Site]) -> int:
    """Biases of all filters (whether a layer has one is not known: taken as there) and norms."""
    found = 0
    for site in sites:
        if site.kind in ("conv", "linear"):
            found += site.output_shape[0 if site.kind == "conv" else -1]
        elif site.kind == "norm":
            found += 2 * site.output_shape[0]
    return found * _BIAS_BITS


def _bytes(bits: int) -> int:
    return math.ceil(bits / 8)
