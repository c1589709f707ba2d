"""Memristor crossbars: how many blocks a pruned network takes, their area and power.

A layer's weights stand in blocks of cells: an input on each row, an output on each group of
columns. A weight takes several cells side by side (one for each few bits) and, for its sign, as
many again. Rows and columns whose weights are all zero are left out before the rest is cut into
blocks, so only zeros in whole rows or columns save anything:

    blocks = ceil(inputs / rows) * ceil(outputs * cells * signs / columns)

A convolution in groups is one such matrix for each group.

Source: Ma et al., Tiny but Accurate (ASP-DAC 2020), for blocks and cells; the constants and where
each comes from stand in the table.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field

from evaluators.cost_table import CostTable, find_table
from evaluators.pruning.matrices import Weights, plan_of, read_weights
from evaluators.usage import sites_of
from search.api.candidate import Candidate
from search.api.errors import ConfigError
from search.api.metric import Fidelity, Measurement, Metric
from search.api.network import Site
from search.api.protocols import Context
from spaces.pruning.plan import LayerPruning
from spaces.pruning.units import Layer, layers_of

TABLES = Path(__file__).parent / "tables"
DEFAULT_TABLE = "memristor_128x64"
METRICS = (
    Metric("crossbar_blocks", "1", "min", "blocks of cells that hold the weights"),
    Metric("crossbar_area", "mm2", "min", "area of these blocks with their converters"),
    Metric("crossbar_power", "W", "min", "power if all blocks work at once"),
)
_UNITS = {
    "rows": "1", "columns": "1", "cell_bits": "bit", "weight_bits": "bit", "signs": "1",
    "block_area": "mm2", "block_power": "W", "row_share": "1",
}  # fmt: skip


class CrossbarConfig(BaseModel):
    """Options of ``{name: crossbar}``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    table: str = Field(DEFAULT_TABLE, description="table of constants, or a path ending in .toml")
    rows: int | None = Field(None, ge=1, description="of a block; absent: the table's")
    columns: int | None = Field(None, ge=1, description="of a block; absent: the table's")
    cell_bits: int | None = Field(None, ge=1, description="of a cell; absent: the table's")
    weight_bits: int | None = Field(
        None, ge=1, description="of weights whose layer has no levels; absent: the table's"
    )
    overrides: dict[str, float | str] = Field(
        default_factory=dict, description="constants to change, such as block_power: 3 mW"
    )


@dataclass(frozen=True)
class Array:
    """What one matrix takes.

    Args:
        inputs: rows of cells that are used.
        outputs: groups of columns that are used.
    """

    inputs: int
    outputs: int


class Crossbar:
    """Blocks, area and power of a network on memristor crossbars.

    Args:
        sites: the network's sites.
        table: constants; None: those shipped.
        rows, columns, cell_bits, weight_bits: other than the table's. Area scales with the cells
            of a block, power with its rows and columns.
        overrides: constants to change, see ``CostTable.overridden``.

    Raises:
        ConfigError: the table lacks a constant, or has one that cannot be.
    """

    Config: ClassVar[type[CrossbarConfig]] = CrossbarConfig
    metrics: Sequence[Metric] = METRICS
    # Two candidates of one plan may have other empty rows, so nothing is cached by plan.
    needs: frozenset[str] = frozenset({"weights"})

    def __init__(
        self,
        sites: Sequence[Site],
        table: CostTable | None = None,
        *,
        rows: int | None = None,
        columns: int | None = None,
        cell_bits: int | None = None,
        weight_bits: int | None = None,
        overrides: Mapping[str, float | str] | None = None,
    ) -> None:
        if table is None:
            table = CostTable.load(find_table(DEFAULT_TABLE, TABLES))
        table = table.overridden(overrides or {})
        table.require(_UNITS)
        value = {name: table.value(name, unit) for name, unit in _UNITS.items()}
        if not 0 <= value["row_share"] <= 1:
            raise ConfigError(f"expected 0 to 1 (got {value['row_share']:g})", path="row_share")
        self._layers = layers_of(sites)
        self._groups = {s.name: s.attributes.get("groups", 1) for s in sites}
        self._rows = rows or _whole(value, "rows")
        self._columns = columns or _whole(value, "columns")
        self._cell_bits = cell_bits or _whole(value, "cell_bits")
        self._weight_bits = weight_bits or _whole(value, "weight_bits")
        self._signs = _whole(value, "signs")
        # Constants are those of a block of the table's size.
        cells = value["rows"] * value["columns"]
        self._area = value["block_area"] * self._rows * self._columns / cells
        self._row_power = value["block_power"] * value["row_share"] / value["rows"]
        self._column_power = value["block_power"] * (1 - value["row_share"]) / value["columns"]

    @classmethod
    def from_config(cls, config: CrossbarConfig, workload: Any) -> Self:
        """The evaluator for ``workload``'s network.

        Raises:
            ConfigError: there is no workload, or the table is wrong.
        """
        return cls(
            sites_of(workload, "crossbar"),
            CostTable.load(find_table(config.table, TABLES)),
            rows=config.rows,
            columns=config.columns,
            cell_bits=config.cell_bits,
            weight_bits=config.weight_bits,
            overrides=config.overrides,
        )

    def evaluate(
        self, candidate: Candidate[Any], fidelity: Fidelity, ctx: Context
    ) -> Sequence[Measurement]:
        """All metrics, evidence ``model``: from the weights, or without them from the plan.

        Raises:
            EvaluationError: the payload is no pruning plan of this network, or the weights do not
                fit it.
        """
        blocks, power = 0, 0.0
        for layer_blocks, layer_power in self.by_layer(candidate).values():
            blocks += layer_blocks
            power += layer_power
        values = (float(blocks), blocks * self._area, power)
        return tuple(
            Measurement(metric.name, value, metric.unit, fidelity.name, "model")
            for metric, value in zip(METRICS, values, strict=True)
        )

    def by_layer(self, candidate: Candidate[Any]) -> Mapping[str, tuple[int, float]]:
        """Layer -> blocks, and power in W.

        Raises:
            EvaluationError: see :meth:`evaluate`.
        """
        plan = plan_of(candidate, self._layers)
        bits = {made.site: made.bits for made in plan.levels}
        weights = read_weights(candidate, self._layers)
        found = {}
        for layer in self._layers:
            groups = self._groups[layer.name]
            arrays = (
                arrays_of(weights[layer.name], groups)
                if weights
                else planned(layer, plan.of(layer.name), groups)
            )
            cells = -(-bits.get(layer.name, self._weight_bits) // self._cell_bits) * self._signs
            made = [self._cost(array, cells) for array in arrays]
            found[layer.name] = (sum(b for b, _ in made), math.fsum(p for _, p in made))
        return found

    def _cost(self, array: Array, cells: int) -> tuple[int, float]:
        columns = array.outputs * cells
        high, wide = -(-array.inputs // self._rows), -(-columns // self._columns)
        power = self._row_power * array.inputs * wide + self._column_power * columns * high
        return high * wide, power


def arrays_of(weight: Weights, groups: int = 1) -> list[Array]:
    """The matrices of a layer without their empty rows and columns; empty matrices left out.

    Args:
        weight: ``[rows, inputs, positions]``, a row for each filter.
        groups: of the convolution.
    """
    mask = (weight != 0).reshape(groups, weight.shape[0] // groups, -1)
    outputs = mask.any(axis=2).sum(axis=1).tolist()
    inputs = mask.any(axis=1).sum(axis=1).tolist()
    return [Array(i, o) for i, o in zip(inputs, outputs, strict=True) if i]


def planned(layer: Layer, entries: Sequence[LayerPruning], groups: int = 1) -> list[Array]:
    """The same from a plan: what its filters, columns and channels leave at most."""
    outputs, inputs = layer.rows, layer.columns
    for entry in entries:
        if entry.structure == "filter":
            outputs = entry.kept
        elif entry.structure == "column":
            inputs = entry.kept
        elif entry.structure == "channel":
            inputs = entry.kept * layer.positions
    # Filters are spread over the groups as evenly as they can be: the most blocks there may be.
    used = min(groups, outputs)
    share, more = divmod(outputs, used)
    return [Array(inputs, share + (i < more)) for i in range(used)]


def _whole(value: Mapping[str, float], name: str) -> int:
    if value[name] < 1 or value[name] % 1:
        raise ConfigError(f"expected a whole number above 0 (got {value[name]:g})", path=name)
    return int(value[name])
