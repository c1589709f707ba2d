"""From nested float networks to integers: scales, shifts, and the proof that no sum overflows.

All scales are powers of two and belong to the densest mode. Weights get the finest scale at which
the largest one still fits: weights that lie on such a grid already keep their exact values.
Activations get the finest scale at which the largest value on calibration images fits; where a
ReLU follows, only positive values count, since it drops the others.

The proof: with every input in its range, the positive products of a filter and its largest bias
cannot add up to more than an upper bound, nor the negative ones below a lower one, and any partial
sum in any order lies between. Both, with the rounding term of the shift, must fit the sum.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, fx

from search.api.errors import ConfigError, EvaluationError
from search.workloads.eve.integer import IntegerFamily, IntegerLayer, Tiles
from search.workloads.eve.integer_arithmetic import EXACT, limits
from search.workloads.eve.integer_arithmetic import quantise as to_integers
from search.workloads.eve.integer_graph import WEIGHTED, Step, steps_of
from search.workloads.nested import NestedWeights

_MOST_SHIFT = 30  # a 32-bit sum has no more bits to shift out
_BATCH = 256


def quantise_family(
    network: fx.GraphModule,
    nested: NestedWeights,
    images: Tensor,
    *,
    bits: int,
    sum_bits: int | None = None,
    tiles: Sequence[Mapping[str, Tiles]] = (),
    units: Mapping[str, tuple[str, int]] | None = None,
) -> IntegerFamily:
    """The family in integers; the same for the same arguments.

    Args:
        network: in canonical form, a chain; its weights do not matter.
        nested: the weights of all modes.
        images: training images that tell the range of each value, ``[n, C, H, W]``.
        bits: of weights and activations, 8 or 16.
        sum_bits: 32: sums as an MSP430's LEA has them; weights off any grid get a coarser scale
            where they would overflow. 64: wide sums. None: 32, and 64 at 16 bits where weights as
            they are need them.
        tiles: for each mode, site -> how the device computes it.
        units: site -> unit that modes keep or drop, and inputs of a block.

    Raises:
        ConfigError: unknown bits, or no images.
        EvaluationError: a step has no integer form, a mode has more of its own than biases, the
            weights do not fit the network, or sums overflow.
    """
    if bits not in (8, 16) or sum_bits not in (None, 32, 64) or not len(images):
        raise ConfigError(
            f"integers of {bits} bits, sums of {sum_bits}, {len(images)} images (expected 8 or 16 "
            "bits, sums of 32 or 64, at least one image)"
        )
    steps = steps_of(network, tuple(images.shape[1:]))
    _check_private(nested, steps)
    ranges = _calibrate(network, nested, steps, images)
    low, high = limits(bits)
    input_fraction = finest_fraction(float(images.abs().max()), high)
    last = next(s.site for s in reversed(steps) if s.operator in WEIGHTED)
    layers: dict[str, IntegerLayer] = {}
    fraction, inputs = input_fraction, (low, high)
    for step in steps:
        if step.operator == "relu":
            inputs = (0, high)
        if step.operator not in WEIGHTED:
            continue
        raw = step.site == last and all(
            s.operator == "flatten" for s in steps[steps.index(step) + 1 :]
        )
        largest = None if raw else ranges[step.site]
        maker = _Maker(step.site, nested, bits, sum_bits, fraction, inputs, largest)
        layers[step.site] = layer = maker.make()
        fraction, inputs = layer.output_fraction, (low, high)
    return IntegerFamily(
        steps, layers, bits, len(nested.densities), input_fraction, tuple(tiles), dict(units or {})
    )


def finest_fraction(largest: float, most: int) -> int:
    """The largest f with ``largest * 2**f <= most``; 0 where all values are 0."""
    if largest == 0.0:
        return 0
    fraction = math.frexp(most / largest)[1] - 1
    while math.ldexp(largest, fraction) > most:  # the quotient was rounded up to a power of two
        fraction -= 1
    return fraction


@dataclass(frozen=True)
class _Maker:
    """Finds the scales of one layer."""

    site: str
    nested: NestedWeights
    bits: int
    sum_bits: int | None
    input_fraction: int
    inputs: tuple[int, int]
    largest: float | None  # output on calibration images; None: the sums are the outputs

    def make(self) -> IntegerLayer:
        name = f"{self.site}.weight"
        floats = self.nested.weight(name, len(self.nested.densities)).double().cpu()
        most = limits(self.bits)[1]
        finest = finest_fraction(float(floats.abs().max()), most)
        exact = bool((floats * 2.0**finest % 1 == 0).all())
        wide = self.sum_bits == 64 or (self.sum_bits is None and self.bits == 16)
        why = ""
        for sum_bits in (32, 64) if wide and self.sum_bits is None else ((64,) if wide else (32,)):
            fraction = finest
            while fraction > finest - self.bits + 1:
                weight = to_integers(floats, fraction, self.bits)
                if exact and not torch.equal(weight * 2.0**-fraction, floats):
                    break  # a coarser scale would change weights that lie on a grid
                layer, problem = self._layer(weight, fraction, sum_bits)
                if not problem:
                    return layer
                why = why or problem
                if wide and sum_bits == 32 and not exact:
                    break  # rather wider sums than coarser weights
                fraction -= 1
        kind = "on their grid " if exact else ""
        raise EvaluationError(
            f"{self.site}: {why}, and {self.bits}-bit weights {kind}leave no coarser scale. "
            "Use fewer bits, a sparser densest mode or wider sums"
        )

    def _layer(self, weight: Tensor, fraction: int, sum_bits: int) -> tuple[IntegerLayer, str]:
        """The layer at this scale of weights, and what is wrong with it."""
        scale = fraction + self.input_fraction
        biases = torch.stack([self._bias(mode, scale) for mode in range(len(self.nested.private))])
        low, high = self.inputs
        flat = weight.flatten(1)
        up = torch.maximum(flat * high, flat * low).clamp(min=0).sum(1)
        down = torch.minimum(flat * high, flat * low).clamp(max=0).sum(1)
        top = float((up + biases.amax(0).clamp(min=0)).max())
        bottom = float((down + biases.amin(0).clamp(max=0)).min())
        output = min(scale, self._output_fraction(scale, max(top, -bottom)))
        shift = scale - output
        top += 2.0 ** (shift - 1) if shift else 0.0
        bound = max(top, -bottom)
        problem = ""
        if float(biases.abs().max()) > limits(32)[1]:
            problem = f"a bias needs {_bits(float(biases.abs().max()))} bits (32 there are)"
        elif shift > _MOST_SHIFT:
            problem = f"outputs need a shift by {shift} bits (at most {_MOST_SHIFT})"
        elif top > min(limits(sum_bits)[1], EXACT) or bottom < max(limits(sum_bits)[0], -EXACT):
            problem = f"sums may need {_bits(bound)} bits (there are {min(sum_bits, 54)})"
        layer = IntegerLayer(
            self.site, weight.long(), self.nested.levels[f"{self.site}.weight"].cpu(),
            biases.long(), fraction, self.input_fraction, output, sum_bits, int(bound),
        )  # fmt: skip
        return layer, problem

    def _output_fraction(self, scale: int, bound: float) -> int:
        """Of outputs that reach ``largest``; where it is 0, of sums that reach ``bound``."""
        most = limits(self.bits)[1]
        if self.largest is None:
            return scale
        return finest_fraction(self.largest or bound * 2.0**-scale, most)

    def _bias(self, mode: int, fraction: int) -> Tensor:
        """float64 integers of the bias of mode ``mode``, from 0; zeros without one."""
        outputs = len(self.nested.levels[f"{self.site}.weight"])
        found = self.nested.private[mode].get(f"{self.site}.bias", torch.zeros(outputs))
        return torch.floor(found.double().cpu() * 2.0**fraction + 0.5)


def _bits(largest: float) -> int:
    """Bits of a signed integer of this magnitude."""
    return int(largest).bit_length() + 1


def _check_private(nested: NestedWeights, steps: Sequence[Step]) -> None:
    weighted = [s.site for s in steps if s.operator in WEIGHTED]
    if not weighted:
        raise EvaluationError("network: has no layer with weights")
    known = {f"{site}.weight" for site in weighted}
    if nested.levels.keys() != known:
        names = ", ".join(sorted(nested.levels.keys() ^ known)[:3])
        raise EvaluationError(f"weights do not fit the network (differing: {names})")
    biases = {f"{site}.bias" for site in weighted}
    for number, private in enumerate(nested.private, start=1):
        if odd := sorted(private.keys() - biases):
            raise EvaluationError(
                f"{odd[0].rpartition('.')[0]}: mode {number} has {odd[0]} for itself, and integers "
                "know biases alone"
            )
        if not all(bool(torch.isfinite(v).all()) for v in private.values()):
            raise EvaluationError("a bias is NaN or infinite: its training diverged")
    if not all(bool(torch.isfinite(v).all()) for v in nested.shared.values()):
        raise EvaluationError("a weight is NaN or infinite: its training diverged")


def _calibrate(
    network: fx.GraphModule, nested: NestedWeights, steps: Sequence[Step], images: Tensor
) -> dict[str, float]:
    """Site of each layer -> largest value of its outputs in the densest mode; see the module."""
    dense = copy.deepcopy(network).eval()
    state = nested.member(len(nested.densities))
    wanted = dense.state_dict()
    if state.keys() != wanted.keys() or any(state[n].shape != wanted[n].shape for n in state):
        odd = sorted(state.keys() ^ wanted.keys()) or [
            n for n in state if state[n].shape != wanted[n].shape
        ]
        raise EvaluationError(f"weights do not fit the network (differing: {', '.join(odd[:3])})")
    dense.load_state_dict(state)
    device = next(iter(wanted.values())).device
    positive = {s.site for i, s in enumerate(steps) if _relu_follows(steps, i)}
    largest: dict[str, float] = {}
    with torch.no_grad():
        for start in range(0, len(images), _BATCH):
            x = images[start : start + _BATCH].to(device)
            for step in steps:
                calls = step.operator == "flatten"
                x = x.flatten(1) if calls else dense.get_submodule(step.site)(x)
                if step.operator in WEIGHTED:
                    found = float((x.clamp(min=0) if step.site in positive else x.abs()).max())
                    largest[step.site] = max(largest.get(step.site, 0.0), found)
    return largest


def _relu_follows(steps: Sequence[Step], index: int) -> bool:
    """Whether nothing but a ReLU sees the values of a step, max pools and flatten left out."""
    for step in steps[index + 1 :]:
        if step.operator not in ("maxpool", "flatten"):
            return step.operator == "relu"
    return False
