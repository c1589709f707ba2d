"""A table of a protocol: which constants it may have, and the flows its rows describe.

A row is ``<operator>_<quantity>`` or ``<operator>_<quantity>_<amount>``: ``relu_bytes_element``,
``relu_hops``, ``conv_cpu_mac``, ``relu_offline_bytes_element``. Quantities are

- ``bytes``: online, all directions and parties, by ``call``, ``element``, ``output``, ``mac``,
  ``weight`` or ``patch`` (an entry of the unfolded input of a convolution);
- ``hops``: sequential one-way messages per call; an operator with this row is one the protocol has;
- ``cpu``: seconds by amount;
- ``offline_bytes``, ``offline_cpu`` (by amount): before the input is known.

Max pools are given for windows of four elements, by output.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

from evaluators.cost_table import CostTable
from evaluators.linear import Rate
from evaluators.mpc.flows import Flow, Flows, levels
from search.api.errors import ConfigError

WINDOW = 4
"""Elements of the window that rows of max pools stand for."""

_OPERATORS = (
    "relu", "square", "product", "scale", "affine", "conv", "linear", "maxpool", "avgpool",
    "globalavgpool", "add",
)  # fmt: skip
_AMOUNTS = ("call", "element", "output", "mac", "weight")
_UNITS = {"bytes": "B", "offline_bytes": "B", "cpu": "s", "offline_cpu": "s"}
_GENERAL = {
    "ring_bits": "bit",
    "rows_at_bits": "bit",
    "security_bits": "bit",
    "fraction_bits": "bit",
    "parties": "1",
    "party_power": "W",
    "relu_full_ring_bytes": "B",
    "relu_hops_per_doubling": "1",
    "setup_bytes": "B",
    "setup_time": "s",
}
_ROW = re.compile(
    rf"^(?:{'|'.join(_OPERATORS)})_(?:hops|(?P<quantity>{'|'.join(_UNITS)})"
    rf"_(?:{'|'.join(_AMOUNTS)}|patch))$"
)


def check(table: CostTable) -> None:
    """That every constant is one that tables of protocols have, in a unit that fits.

    Raises:
        ConfigError: a constant is unknown or in a wrong unit, one that is needed is missing, or a
            width or a number of parties makes no sense.
    """
    for name in table.constants:
        match = _ROW.match(name)
        unit = _GENERAL.get(name) or (_UNITS.get(match["quantity"], "1") if match else None)
        if unit is None:
            raise ConfigError(
                f"unknown constant (known: {', '.join(_GENERAL)}; and rows such as "
                "relu_bytes_element, relu_hops, conv_cpu_mac)",
                path=f"{table.name}.constants.{name}",
                source=table.path,
            )
        table.value(name, unit)
    for name in ("ring_bits", "parties", "party_power"):
        table.value(name, _GENERAL[name])
    for name, least in (("ring_bits", 2), ("rows_at_bits", 2), ("parties", 2)):
        value = general(table, name, least)
        if value < least or value != int(value):
            raise ConfigError(
                f"must be a whole number, {least} or more (got {value:g})",
                path=f"{table.name}.constants.{name}",
                source=table.path,
            )


def general(table: CostTable, name: str, default: float = 0.0) -> float:
    """A constant that is no row, in its usual unit; ``default`` if the table has none."""
    return table.value(name, _GENERAL[name]) if name in table.constants else default


def rate(table: CostTable, operator: str, quantity: str) -> Rate | None:
    """The rows of ``operator`` for ``quantity``, in bytes or seconds; None if there is none."""
    found = dict(_amounts(table, operator, quantity))
    found.pop("patch", None)
    return Rate(**found) if found else None


def has(table: CostTable, quantity: str) -> bool:
    """Whether any row of the table is about ``quantity``."""
    return any((m := _ROW.match(n)) and m["quantity"] == quantity for n in table.constants)


def rows(table: CostTable) -> Flows:
    """The flows that the table's rows describe.

    Rows are those of a ring of ``rows_at_bits``. In a ring of another width bytes grow with the
    width, and comparisons have ``relu_hops_per_doubling`` hops more for each doubling. A
    comparison of fewer bits shrinks alike, but for ``relu_full_ring_bytes``, the part that works on
    the whole ring (conversion of the sign, product with it).
    """
    bits = int(general(table, "ring_bits"))
    reference = general(table, "rows_at_bits", bits)
    scale, deeper = bits / reference, general(table, "relu_hops_per_doubling")
    extra = deeper * (levels(bits) - levels(reference))
    operators = {}
    for operator in _OPERATORS:
        if f"{operator}_hops" in table.constants and operator != "maxpool":
            hops = table.value(f"{operator}_hops", "1") + (extra if operator == "relu" else 0.0)
            patch = dict(_amounts(table, operator, "bytes")).get("patch", 0.0)
            sent = rate(table, operator, "bytes") or Rate()
            operators[operator] = Flow(sent * scale, hops, patch * scale)

    def pool(window: int) -> Flow:
        depth = levels(window) / levels(WINDOW)
        hops = (table.value("maxpool_hops", "1") + levels(WINDOW) * extra) * depth
        share = scale * (window - 1) / (WINDOW - 1)
        return Flow((rate(table, "maxpool", "bytes") or Rate()) * share, hops)

    def narrow(width: int) -> Flow:
        whole = operators["relu"]
        full = general(table, "relu_full_ring_bytes") * scale
        element = full + (whole.bytes.element - full) * width / bits
        return Flow(Rate(element=element), whole.hops + deeper * (levels(width) - levels(bits)))

    return Flows(
        operators,
        pool if "maxpool_hops" in table.constants else None,
        narrow if "relu_full_ring_bytes" in table.constants else None,
    )


def _amounts(table: CostTable, operator: str, quantity: str) -> Iterator[tuple[str, float]]:
    for amount in (*_AMOUNTS, "patch"):
        name = f"{operator}_{quantity}_{amount}"
        if name in table.constants:
            value = table.value(name, _UNITS[quantity])
            if not math.isfinite(value):
                raise ConfigError("must be finite", path=f"{table.name}.constants.{name}")
            yield amount, value
