"""A family as C: ``eve_model.h`` (sizes) and ``eve_model.c`` (arrays); see ``runner.h``."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from evaluators.device.export.coding import Coded, code_bits, encode, pack
from search.api.errors import EvaluationError

if TYPE_CHECKING:
    from search.workloads.eve.integer import IntegerFamily, IntegerLayer, Tiles
    from search.workloads.eve.integer_graph import Step

_SHORT = 65535
_DIVIDE = "EVE_DIVIDE"
_LINE = 96


@dataclass(frozen=True)
class Source:
    """The two files.

    Args:
        header, arrays: text of ``eve_model.h`` and ``eve_model.c``.
        codings: site -> how its levels are coded.
        sizes: what -> bytes of its arrays: ``weights``, ``levels``, ``biases``, ``tiles``
            (structures that hold them together are left out).
    """

    header: str
    arrays: str
    codings: dict[str, str]
    sizes: dict[str, int]


def source_of(family: IntegerFamily) -> Source:
    """``family`` in C; the same text for the same family.

    Raises:
        EvaluationError: it is too large for the runner's tables.
    """
    steps = _needed(family)
    coded = {
        step.site: encode(family.layers[step.site], family.modes, _block(family, step))
        for step in steps
        if step.site in family.layers
    }
    wide = any(len(c.weights) > _SHORT for c in coded.values())
    writer = _Writer(family, 4 if wide else 2)
    rows = [writer.step(number, step, coded.get(step.site)) for number, step in enumerate(steps)]
    table = ",\n".join(rows)
    text = _SOURCE.format(arrays="\n".join(writer.lines), table=table)
    cursors = [len(c.first) for c in coded.values() if c.coding == "block"]
    header = _HEADER.format(
        bits=family.bits,
        sum_bits=family.sum_bits,
        offset_bits=32 if wide else 16,
        code_bits=code_bits(family.modes),
        modes=family.modes,
        inputs=math.prod(family.input_shape),
        outputs=math.prod(family.steps[-1].output_shape),
        steps=len(steps),
        values=max(1, *(math.prod(s.output_shape) for s in steps)),
        sums=max(math.prod(s.output_shape) for s in steps if s.site in coded),
        cursors=max(cursors, default=0),
    )
    codings = {site: c.coding for site, c in coded.items()}
    return Source(header, text, codings, writer.sizes)


def _needed(family: IntegerFamily) -> list[Step]:
    """Steps that do something on the device: no flatten that moves nothing."""
    found = []
    after_sums = False
    for step in family.steps:
        idle = step.operator == "flatten" and (
            after_sums or len(step.input_shape) == 1 or 1 in (step.input_shape[0],
            math.prod(step.input_shape[1:]))
        )  # fmt: skip
        if not idle:
            found.append(step)
        # Outputs are written channels outermost anyway, which is what flatten does.
        after_sums = after_sums or step.site == family.raw
    return found


def _block(family: IntegerFamily, step: Step) -> int:
    """Inputs of a tile if all modes have the same; else 0."""
    if step.operator != "linear":
        return 0
    unit, block = family.units.get(step.site, ("", 0))
    given = {m[step.site].channels for m in family.tiles if step.site in m}
    if not given:
        return block if unit == "block" else 0
    return given.pop() if len(given) == 1 and all(step.site in m for m in family.tiles) else 0


class _Writer:
    """Collects arrays and counts their bytes.

    Args:
        family: that is written.
        offset: bytes of an offset.
    """

    def __init__(self, family: IntegerFamily, offset: int) -> None:
        self._family, self._offset = family, offset
        self.lines: list[str] = []
        self.sizes = {"weights": 0, "levels": 0, "biases": 0, "tiles": 0}

    def step(self, number: int, step: Step, coded: Coded | None) -> str:
        """The row of a step in the table; its arrays go to ``lines``."""
        (rows, columns), (out_rows, out_columns) = map(
            _sides, (step.input_shape, step.output_shape)
        )
        sizes = [
            rows, columns, step.input_shape[0], out_rows, out_columns, step.output_shape[0],
            *step.kernel, *step.stride, *step.padding,
        ]  # fmt: skip
        if max(sizes) > _SHORT:
            raise EvaluationError(f"{step.site}: a side of {max(sizes)} (at most {_SHORT})")
        kind, shift, raw, layer = self._kind(step), "0", 0, "0"
        if coded is not None:
            own = self._family.layers[step.site]
            shift, raw = str(own.shift), int(step.site == self._family.raw)
            layer = f"&layer{number}"
            self._layer(number, step, own, coded)
        elif step.operator == "avgpool":
            shift = self._average(step)
        numbers = ", ".join(map(str, sizes))
        return (
            f"    /* {_comment(step.site)} */\n    {{{layer}, {numbers}, {kind}, {shift}, "
            f"{int(step.count_padding)}, {raw}}}"
        )

    def _kind(self, step: Step) -> str:
        if step.operator in ("conv", "linear"):
            return "EVE_LAYER"
        return f"EVE_{step.operator.upper()}"

    def _average(self, step: Step) -> str:
        window = step.kernel[0] * step.kernel[1]
        if 2 * window * 2 ** (self._family.bits - 1) + window > 2**31 - 1:
            raise EvaluationError(f"{step.site}: sums of {window} values need more than 32 bits")
        clipped = any(step.padding) and not step.count_padding
        if clipped or window & (window - 1):
            return _DIVIDE
        return str(window.bit_length() - 1)

    def _layer(self, number: int, step: Step, layer: IntegerLayer, coded: Coded) -> None:
        family = self._family
        self.lines.append(f"/* {_comment(step.site)}: levels by {coded.coding} */")
        width = family.bits // 8
        names = {
            "weights": self._array(number, "weights", "eve_value", coded.weights, width, "weights"),
            "bias": self._array(
                number, "bias", "int32_t", layer.bias.flatten().tolist(), 4, "biases"
            ),
            "tiles": self._tiles(number, step, coded),
        }
        bits = code_bits(family.modes)
        codes = pack(coded.levels, bits) if len(coded.levels) else coded.levels
        for name, values, form, size in (
            ("orders", coded.orders.ravel(), "uint8_t", 1),
            ("index", coded.index, "uint8_t", 1),
            ("counts", coded.counts, "uint8_t", 1),
            ("codes", codes, "uint8_t", 1),
            ("first", coded.first, "eve_offset", self._offset),
        ):
            names[name] = (
                self._array(number, name, form, values, size, "levels") if len(values) else "0"
            )
        blocks = -(-step.input_shape[0] // coded.block) if coded.block else 0
        stored = coded.orders.shape[1] if coded.coding == "pattern" else 0
        fields = ", ".join(
            names[n] for n in ("weights", "bias", "tiles", "orders", "index", "counts", "codes",
                               "first")
        )  # fmt: skip
        self.lines.append(
            f"static const eve_layer layer{number} = {{\n    {fields},\n"
            f"    {coded.block}, {blocks}, {stored}, EVE_{coded.coding.upper()}\n}};\n"
        )

    def _tiles(self, number: int, step: Step, coded: Coded) -> str:
        rows, columns = _sides(step.output_shape)
        most = (rows, columns, step.output_shape[0], step.input_shape[0])
        lines = []
        for mode in range(self._family.modes):
            tiles = self._family.tiles[mode] if self._family.tiles else {}
            t: Tiles | None = tiles.get(step.site)
            asked = (t.rows, t.columns, t.filters, t.channels) if t is not None else most
            sizes = [max(1, min(a, m)) for a, m in zip(asked, most, strict=True)]
            if coded.block and t is None:
                sizes[3] = coded.block
            batch, order = (t.batch, t.order) if t is not None else (1, "reuse_O")
            lines.append(f"    {{{', '.join(map(str, sizes))}, {batch}, EVE_{order.upper()}}}")
        self.sizes["tiles"] += 12 * len(lines)
        table = ",\n".join(lines)
        self.lines.append(f"static const eve_tiles tiles{number}[{len(lines)}] = {{\n{table}\n}};")
        return f"tiles{number}"

    def _array(
        self, number: int, name: str, form: str, values: Iterable[Any], size: int, what: str
    ) -> str:
        numbers = [int(v) for v in values] or [0]  # C has no empty arrays
        self.sizes[what] += size * len(numbers)
        body = _wrapped(numbers)
        self.lines.append(f"static const {form} {name}{number}[{len(numbers)}] = {{\n{body}\n}};")
        return f"{name}{number}"


def _sides(shape: tuple[int, ...]) -> tuple[int, int]:
    """Rows and columns; 1 and 1 of a vector."""
    return (shape[1], shape[2]) if len(shape) == 3 else (1, 1)


def _wrapped(numbers: list[int]) -> str:
    """Numbers in lines."""
    lines, line = [], "   "
    for value in numbers:
        word = f" {value}," if value != -(2**31) else " (-2147483647 - 1),"
        if len(line) + len(word) > _LINE:
            lines.append(line)
            line = "   "
        line += word
    return "\n".join([*lines, line])


def _comment(site: str) -> str:
    """A site's name that cannot end a comment."""
    return site.replace("*/", "* /")


_HEADER = """\
/* Sizes of the family in eve_model.c. */
#ifndef EVE_MODEL_H
#define EVE_MODEL_H

#define EVE_BITS {bits} /* of weights and activations */
#define EVE_SUM_BITS {sum_bits} /* enough for every sum, proven for these weights */
#define EVE_OFFSET_BITS {offset_bits}
#define EVE_CODE_BITS {code_bits} /* of a stored level */
#define EVE_MODES {modes}
#define EVE_INPUTS {inputs}
#define EVE_OUTPUTS {outputs}
#define EVE_STEPS {steps}
#define EVE_MAX_VALUES {values} /* of the largest activation */
#define EVE_MAX_SUMS {sums} /* of the largest layer */
#define EVE_MAX_CURSORS {cursors} /* outputs of the largest layer coded by block */

#endif
"""
_SOURCE = """\
/* Weights of the densest mode, stored once; levels, biases, shifts and schedules of all modes. */
#include "runner.h"

{arrays}
const eve_step eve_steps[EVE_STEPS] = {{
{table}
}};
"""
