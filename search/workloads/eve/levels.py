"""Levels of weights from the units that modes keep, and their compact code on a device.

A level field is uint8 of the weight's shape: 1 from the sparsest mode on, 2 from the second on, and
so forth, 0 in no mode (see :mod:`search.workloads.nested`). All weights of a unit have the same
level, so a device need not store the field: of ``pattern`` layers it stores the pool, how many
positions each mode keeps and the pattern of each filter; of others one level for each unit.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from search.api.errors import ConfigError, EvaluationError
from search.workloads.eve.patterns import choose_pool, position_energy
from search.workloads.nested import levels_of


@dataclass(frozen=True)
class Units:
    """What the modes keep of one layer.

    Args:
        site: name, for messages.
        unit: ``pattern`` (kernel positions of each filter), ``filter`` or ``block``.
        kept: units that each mode keeps, sparsest mode first, never falling.
        units: units there are.
        block: inputs of a ``block``; 0 for other units.
    """

    site: str
    unit: str
    kept: tuple[int, ...]
    units: int
    block: int = 0


@dataclass(frozen=True)
class PatternCode:
    """Levels of a ``pattern`` layer.

    Args:
        orders: uint8 ``[P, K]``: kernel positions of each pattern, best first. Which order stands
            among positions of one level does not matter; rising positions are canonical.
        index: uint8 ``[filters]``: pattern of each filter.
        kept: positions that each mode keeps, sparsest mode first.
    """

    orders: Tensor
    index: Tensor
    kept: tuple[int, ...]

    @property
    def bits(self) -> int:
        """Bits on the device: pool, counts and one index for each filter."""
        patterns, positions = self.orders.shape
        order = positions * _width(positions)
        return (
            patterns * order
            + len(self.kept) * _width(positions + 1)
            + len(self.index) * _width(patterns)
        )

    def expand(self, shape: Sequence[int]) -> Tensor:
        """The level field of a weight of ``shape``, ``[filters, channels, ...kernel]``.

        Raises:
            EvaluationError: the code is that of a layer of another shape.
        """
        shape = tuple(shape)
        filters, positions = shape[0], math.prod(shape[2:])
        if len(self.index) != filters or self.orders.shape[1] != positions:
            raise EvaluationError(
                f"levels: a code of {len(self.index)} filters and {self.orders.shape[1]} kernel "
                f"positions for weights {list(shape)}"
            )
        steps = torch.zeros(positions, dtype=torch.uint8)
        for level, count in reversed(list(enumerate(self.kept, start=1))):
            steps[:count] = level
        table = torch.zeros(self.orders.shape, dtype=torch.uint8)
        table.scatter_(1, self.orders.long(), steps.expand(table.shape))
        rows = table[self.index.long()]  # [filters, K]
        return rows[:, None].expand(filters, shape[1], positions).reshape(shape).contiguous()


@dataclass(frozen=True)
class UnitCode:
    """Levels of a layer of ``filter`` or ``block`` units.

    Args:
        levels: uint8 ``[units]``; blocks output by output.
        block: inputs of a block; 0 for whole filters.
        modes: how many there are.
    """

    levels: Tensor
    block: int
    modes: int

    @property
    def bits(self) -> int:
        """Bits on the device: one level for each unit."""
        return len(self.levels) * _width(self.modes + 1)

    def expand(self, shape: Sequence[int]) -> Tensor:
        """The level field of a weight of ``shape``, ``[outputs, inputs, ...]``.

        Raises:
            EvaluationError: the code is that of a layer of another shape.
        """
        shape = tuple(shape)
        inputs = math.prod(shape[1:])
        if len(self.levels) != shape[0] * blocks(inputs, self.block):
            raise EvaluationError(
                f"levels: a code of {len(self.levels)} units for weights {list(shape)} "
                f"(expected {shape[0] * blocks(inputs, self.block)})"
            )
        rows = self.levels.view(shape[0], -1)
        rows = rows.repeat_interleave(self.block or inputs, dim=1)[:, :inputs]
        return rows.reshape(shape).contiguous()


Code = PatternCode | UnitCode


def blocks(inputs: int, block: int) -> int:
    """Blocks of one output; the last one may be shorter."""
    return -(-inputs // block) if block else 1


def units_of(family: Any) -> dict[str, Units]:
    """Name of a weight -> what the modes of ``family`` keep of it, in execution order.

    Args:
        family: as ``spaces.eve.family.ModeFamily``: members with layers, sparsest first.
    """
    found = {}
    for layers in zip(*(mode.layers for mode in family.members), strict=True):
        first = layers[0]
        block = first.execution.channels if first.unit == "block" else 0
        kept = tuple(layer.kept for layer in layers)
        found[weight_of(first.site)] = Units(first.site, first.unit, kept, first.units, block)
    return found


def choose_codes(
    scores: Mapping[str, Tensor], units: Mapping[str, Units], pool: int
) -> dict[str, Code]:
    """Which units the modes keep: those of the highest summed score.

    Args:
        scores: name of a weight -> what each entry is worth, at least 0, of the weight's shape.
        units: name of a weight -> what the modes keep of it.
        pool: patterns of a layer at most.

    Returns:
        Name of a weight -> its code.

    Raises:
        ConfigError: the units are those of another network.
    """
    if scores.keys() != units.keys():
        odd = ", ".join(sorted(scores.keys() ^ units.keys()))
        raise ConfigError(f"the family's layers are not the network's (differing: {odd})")
    return {name: choose_code(scores[name], units[name], pool) for name in units}


def choose_code(score: Tensor, units: Units, pool: int) -> Code:
    """The code of one layer; see :func:`choose_codes`.

    Raises:
        ConfigError: the layer has another number of units.
    """
    score = score.detach().double().cpu()
    if units.unit == "pattern":
        energy = position_energy(score)
        _check_units(units, energy.shape[1])
        chosen = choose_pool(energy, units.kept, pool)
        code = PatternCode(chosen.orders.to(torch.uint8), chosen.index.to(torch.uint8), units.kept)
        # Orders that differ in nothing any mode sees become one pattern.
        return compact(code.expand(score.shape), units)
    energy = unit_energy(score, units.block)
    _check_units(units, len(energy))
    order = torch.argsort(energy, descending=True, stable=True)
    return UnitCode(levels_of(order, units.kept), units.block, len(units.kept))


def unit_energy(score: Tensor, block: int) -> Tensor:
    """Summed scores of whole filters (``block`` 0) or of runs of ``block`` inputs, ``[units]``."""
    rows = score.flatten(1)
    if not block:
        return rows.sum(1)
    missing = blocks(rows.shape[1], block) * block - rows.shape[1]
    return torch.nn.functional.pad(rows, (0, missing)).view(len(rows), -1, block).sum(2).flatten()


def compact(level: Tensor, units: Units) -> Code:
    """The code of a level field, the inverse of ``expand``.

    Args:
        level: uint8 field.
        units: what the modes keep of the layer.

    Raises:
        EvaluationError: weights of one unit differ in their level, or the counts are others.
    """
    modes = len(units.kept)
    code: Code
    if units.unit == "pattern":
        rows = level.flatten(2)[:, 0]  # [filters, K]
        table, index = torch.unique(rows, dim=0, return_inverse=True)
        last = table.long() + (table == 0) * (modes + 1)
        orders = torch.argsort(last, dim=1, stable=True).to(torch.uint8)
        code = PatternCode(orders, index.to(torch.uint8), units.kept)
    else:
        rows = level.flatten(1)[:, :: units.block or level[0].numel()]
        code = UnitCode(rows.flatten(), units.block, modes)
        if any(int(((rows > 0) & (rows <= m)).sum()) != n for m, n in enumerate(units.kept, 1)):
            raise EvaluationError(_other(units))
    if not torch.equal(code.expand(level.shape), level):
        raise EvaluationError(_other(units))
    return code


def weight_of(site: str) -> str:
    """Name of the weight of the layer at ``site``."""
    return f"{site.partition('#')[0]}.weight"


def _check_units(units: Units, there: int) -> None:
    if units.units != there:
        raise ConfigError(
            f"{units.site}: the layer has {there} {units.unit} units (got {units.units})"
        )


def _other(units: Units) -> str:
    return (
        f"{units.site}: levels are not those of {list(units.kept)} whole {units.unit} units. "
        "The weights file belongs to another family"
    )


def _width(values: int) -> int:
    """Bits of a code of ``values`` values."""
    return max(1, math.ceil(math.log2(max(1, values))))
