"""What one layer costs on the device, tile by tile.

A tile computes ``rows x columns`` pixels of ``filters`` outputs from ``channels`` inputs. Each
kernel position of each output is one vector operation over the channels. ``batch`` tiles are
computed between two preservations; which of them share inputs, weights or outputs says the loop
order. Where tiles do not divide a layer, the last ones are smaller. Data lie channels last, so one
transfer moves the channels of one pixel.

Amounts of data that depend on which units a mode keeps are exact in sum; the worst batch takes the
densest one there can be.

Source: iNAS (EMCLab-Sinica, Intermittent-aware-NAS): the formulas of fetching, computing and
    preserving. Ours: pruned units, bits, level codes, and that what stays in fast memory is
    fetched again after a power failure only.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from spaces.eve.device.geometry import Geometry
from spaces.eve.device.table import Cost, Profile
from spaces.eve.family import LayerMode

_WORD_BITS = 16
# Level codes of up to four modes, and a pattern's index in a pool of up to 16: how many of its
# positions a mode keeps is one number for the layer.
_CODE_BITS = {"pattern": 4, "filter": 2, "block": 2}


@dataclass(frozen=True)
class LayerCost:
    """One layer of one mode, without reboots.

    Args:
        site: its name.
        calls: vector operations.
        compute: of vector operations and accumulation.
        fetch: of inputs, weights and partial sums.
        index: of reading level codes and comparing them with the mode: what run-time extraction
            costs.
        backup: of outputs and of the record of progress.
        batches: preservations.
        worst: the most that one batch takes.
        resume: what a power failure makes it fetch again.
        sram_bytes: fast memory a batch needs.
    """

    site: str
    calls: float
    compute: Cost
    fetch: Cost
    index: Cost
    backup: Cost
    batches: int
    worst: Cost
    resume: Cost
    sram_bytes: int

    @property
    def total(self) -> Cost:
        """All of it, without power failures."""
        return self.compute + self.fetch + self.index + self.backup


def layer_cost(
    site: str, shape: Geometry, layer: LayerMode, inputs: float, bits: int, profile: Profile
) -> LayerCost:
    """The cost of one convolution or linear layer.

    Args:
        site: its name.
        shape: its shapes.
        layer: what the mode keeps, and how it is computed.
        inputs: share of the input channels that is there, in (0, 1].
        bits: of weights and activations.
        profile: the device.
    """
    plan = _Tiling(shape, layer, inputs, bits, profile)
    streams, residents = plan.streams(), plan.resident()
    tile = plan.tile_compute()
    count = plan.together
    order = profile.operation(layer.execution.order)
    pixels = plan.tr * plan.tc
    if layer.execution.order == "reuse_I":
        out = profile.write(pixels * plan.words(count * plan.tm), pixels) + order * pixels
    elif layer.execution.order == "reuse_W":
        out = profile.write(count * pixels * plan.words(plan.tm), count * pixels)
        out = out + order * (count * pixels)
    else:
        out = profile.write(pixels * plan.words(plan.tm), pixels) + order * pixels
    progress = profile.value("progress_words")
    worst = tile * count + streams * count + out
    worst = worst + profile.write(progress, 1) + plan.tile_codes() * count
    resume = residents + profile.read(progress, 1)
    groups = shape.groups
    return LayerCost(
        site, plan.calls * groups, plan.compute() * groups, plan.fetch() * groups,
        plan.codes() * groups,
        (plan.backup() + profile.write(progress, 1) * plan.batches) * groups,
        plan.batches * groups, worst, resume, plan.sram_bytes(),
    )  # fmt: skip


class _Tiling:
    """Numbers of tiles and transfers of one group of one layer."""

    def __init__(
        self, shape: Geometry, layer: LayerMode, inputs: float, bits: int, profile: Profile
    ) -> None:
        e, self.order, self.bits, self.profile = (
            layer.execution,
            layer.execution.order,
            bits,
            profile,
        )
        self.shape, self.layer = shape, layer
        self.n = max(1, round(shape.channels * inputs))
        self.m = max(1, round(shape.filters * (layer.keep if layer.unit == "filter" else 1.0)))
        self.tr, self.tc = min(e.rows, shape.rows), min(e.columns, shape.columns)
        self.tm, self.tn = min(e.filters, self.m), min(e.channels, self.n)
        self.spatial = math.ceil(shape.rows / self.tr) * math.ceil(shape.columns / self.tc)
        self.nm, self.nn = math.ceil(self.m / self.tm), math.ceil(self.n / self.tn)
        self.positions = layer.kept if layer.unit == "pattern" else shape.positions
        self.density = self.tile_density = 1.0
        loop = {"reuse_I": self.nm, "reuse_W": self.spatial, "reuse_O": self.nn}[self.order]
        self.together = min(max(1, e.batch), loop)
        self.passes = math.ceil(loop / self.together)
        rest = {"reuse_I": self.spatial * self.nn, "reuse_W": self.nm * self.nn,
                "reuse_O": self.spatial * self.nm}[self.order]  # fmt: skip
        self.batches = self.passes * rest
        if layer.unit == "block":
            runs = self.m * self.positions * self.nn
            kept = min(layer.kept / shape.groups, runs)
            self.density = kept / runs
            self.tile_density = min(1.0, kept / (self.tm * self.positions))
        pixels = shape.rows * shape.columns
        self.calls = pixels * self.m * self.positions * self.nn * self.density

    def words(self, elements: int) -> int:
        """Words of one transfer of ``elements``."""
        return math.ceil(elements * self.bits / _WORD_BITS)

    def compute(self) -> Cost:
        """All vector operations, with what each adds to a sum."""
        return self._macs(self.calls * self.n / self.nn, self.calls)

    def tile_compute(self) -> Cost:
        """One whole tile."""
        calls = self.tr * self.tc * self.tm * self.positions * self.tile_density
        return self._macs(calls * self.tn, calls)

    def fetch(self) -> Cost:
        """Inputs, weights and partial sums of the whole layer."""
        inputs = self.nm if self.order != "reuse_I" else 1
        weights = self.spatial if self.order != "reuse_W" else 1
        found = self._inputs(self._pixels(), self.n, self.tn, self.nn) * inputs
        per_pass = self.m * self.positions * self.density
        found = found + self._weights(per_pass, self.n, self.nn) * weights
        if self.order != "reuse_O" and self.nn > 1:
            calls = self.shape.rows * self.shape.columns * (self.nn - 1)
            found = found + self._partial(calls * self.m, calls * self.nm)
        return found

    def streams(self) -> Cost:
        """What each tile of a batch fetches."""
        inputs, weights, partial = self._tile_inputs(), self._tile_weights(), self._tile_partial()
        if self.order == "reuse_I":
            return weights + partial if self.nn > 1 else weights
        if self.order == "reuse_W":
            return inputs + partial if self.nn > 1 else inputs
        return inputs + weights

    def resident(self) -> Cost:
        """What a batch finds in fast memory unless the power failed."""
        if self.order == "reuse_I":
            return self._tile_inputs()
        if self.order == "reuse_W":
            return self._tile_weights()
        return self._tile_partial() if self.passes > 1 else Cost()

    def backup(self) -> Cost:
        """Outputs of the whole layer: partial sums as words, results at their bits."""
        pixels, address = self.shape.rows * self.shape.columns, self.profile.operation(self.order)
        chunk = self.together * self.tm if self.order == "reuse_I" else self.tm
        calls = math.ceil(self.m / chunk)
        passes = self.passes if self.order == "reuse_O" else self.nn
        last = self._chunked(self.m, chunk)
        words = pixels * (last + (passes - 1) * self.m)
        return self.profile.write(words, pixels * passes * calls) + address * (
            pixels * passes * calls
        )

    def codes(self) -> Cost:
        """Level codes of the whole layer, dropped units' codes included."""
        weights = self.spatial if self.order != "reuse_W" else 1
        calls = self.nm * self.nn * weights
        return self._codes(self._units() * weights, calls)

    def tile_codes(self) -> Cost:
        """Level codes of one tile."""
        runs = self.positions if self.layer.unit == "block" else 1
        return self._codes(self.tm * runs, 1)

    def sram_bytes(self) -> int:
        """Inputs, weights and outputs of a batch; outputs of all its tiles where they differ."""
        rows, columns = self._span(self.tr, self.tc)
        held = self.together if self.order != "reuse_O" else 1
        elements = rows * columns * self.tn + self.tm * self.positions * self.tn
        elements += self.tr * self.tc * self.tm * held
        return round(elements * self.profile.value("word"))

    def _units(self) -> float:
        if self.layer.unit == "pattern":
            return float(self.m * self.nn)
        if self.layer.unit == "filter":
            return float(self.shape.filters * self.nn)
        return self.layer.units / self.shape.groups

    def _codes(self, units: float, calls: float) -> Cost:
        bits = _CODE_BITS[self.layer.unit]
        compare = self.profile.operation("add") * self.profile.value("level_adds")
        words = max(units * bits / _WORD_BITS, calls)
        return self.profile.read(words, calls) + compare * units

    def _macs(self, elements: float, calls: float) -> Cost:
        p = self.profile
        own = p.operation("add") + p.operation("accumulate") + p.operation("partial")
        return p.mac(elements, calls) + own * calls

    def _pixels(self) -> int:
        """Input pixels that all spatial tiles fetch in one pass over the channels."""
        s = self.shape
        rows = self._rows(s.rows, self.tr, s.kernel[0], s.size[0])
        return rows * self._rows(s.columns, self.tc, s.kernel[1], s.size[1])

    def _rows(self, outputs: int, tile: int, kernel: int, size: int) -> int:
        """Input rows under all tiles of one pass: neighbours overlap, padding is not fetched."""
        s, tiles = self.shape, math.ceil(outputs / tile)
        before = s.padding if kernel > 1 else 0
        behind = max(0, (outputs - 1) * s.stride + kernel - before - size)
        found = (outputs - tiles) * s.stride + tiles * kernel - before - behind
        return max(1, min(found, tiles * size))

    def _span(self, rows: int, columns: int) -> tuple[int, int]:
        """Input rows and columns under ``rows`` x ``columns`` outputs, within the image."""
        s = self.shape
        return (min((rows - 1) * s.stride + s.kernel[0], s.size[0]),
                min((columns - 1) * s.stride + s.kernel[1], s.size[1]))  # fmt: skip

    def _tile_inputs(self) -> Cost:
        rows, columns = self._span(self.tr, self.tc)
        return self._inputs(rows * columns, self.tn, self.tn, 1)

    def _tile_weights(self) -> Cost:
        return self._weights(self.tm * self.positions * self.tile_density, self.tn, 1)

    def _tile_partial(self) -> Cost:
        pixels = self.tr * self.tc
        return self._partial(pixels * self.tm, pixels)

    def _inputs(self, pixels: int, elements: int, chunk: int, calls: int) -> Cost:
        words = pixels * self._chunked(elements, chunk)
        own = self.profile.operation("input") * (pixels * calls)
        return self.profile.read(words, pixels * calls) + own + self._unpack(pixels * elements)

    def _weights(self, runs: float, elements: int, calls: int) -> Cost:
        """``runs`` filters and positions, each of ``elements`` in ``calls`` transfers."""
        words = runs * self._chunked(elements, self.tn)
        own = self.profile.operation("weight") * (runs * calls)
        return self.profile.read(words, runs * calls) + own + self._unpack(runs * elements)

    def _partial(self, words: int, calls: int) -> Cost:
        return self.profile.read(words, calls) + self.profile.operation("partial") * calls

    def _chunked(self, elements: int, chunk: int) -> int:
        """Words of ``elements`` in transfers of ``chunk``."""
        whole, rest = divmod(elements, chunk)
        return whole * self.words(chunk) + self.words(rest)

    def _unpack(self, elements: float) -> Cost:
        """The vector unit takes words: narrower numbers are widened by the CPU."""
        if self.bits >= _WORD_BITS:
            return Cost()
        return self.profile.operation("add") * (self.profile.value("unpack_adds") * elements)
