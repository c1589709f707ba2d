"""What pools, activations, norms and sums cost on the device."""

from __future__ import annotations

import math

from search.api.errors import EvaluationError
from search.api.network import Site
from spaces.eve.device.table import Cost, Profile
from spaces.eve.device.tiles import LayerCost

# Additions, multiplications and comparisons for each element, done where a result is written.
_FUSED = {"relu": (0, 0, 1), "x2act": (2, 2, 0), "square": (0, 1, 0), "batchnorm": (1, 1, 0),
          "identity": (0, 0, 0)}  # fmt: skip
_POOLS = ("maxpool", "avgpool", "globalavgpool")


def elementwise_cost(site: Site, inputs: float, bits: int, profile: Profile) -> LayerCost:
    """The cost of ``site``, which is no convolution and no linear layer.

    Activations and batch norms work on results before they are written, so they cost arithmetic
    alone. (A batch norm cannot be folded into weights that modes with norms of their own share.)
    Pools and sums read pixel by pixel; each row of the output is preserved at once.

    Args:
        site: the operator.
        inputs: share of its channels that is there, in (0, 1].
        bits: of activations.
        profile: the device.

    Raises:
        EvaluationError: the device has no such operator.

    Source: iNAS: transfers and comparisons of a pool. The rest is ours.
    """
    if site.operator in _POOLS or site.kind == "add":
        return _windows(site, inputs, bits, profile)
    if site.operator not in _FUSED:
        raise EvaluationError(
            f"{site.name}: the device model has no operator {site.operator!r} "
            f"(known: conv, linear, add, {', '.join((*_FUSED, *_POOLS))})"
        )
    adds, muls, compared = _FUSED[site.operator]
    own = profile.operation("add") * adds + profile.operation("mul") * muls
    own = own + profile.operation("max") * compared
    return LayerCost(site.name, 0.0, own * (site.elements * inputs), Cost(), Cost(), Cost(), 0,
                     Cost(), Cost(), 0)  # fmt: skip


def _windows(site: Site, inputs: float, bits: int, profile: Profile) -> LayerCost:
    flat = len(site.output_shape) < 3
    rows = 1 if flat else site.output_shape[1]
    pixels = 1 if flat else math.prod(site.output_shape[1:])
    channels = max(1, round(site.output_shape[0] * inputs))
    window = 2 if site.kind == "add" else site.attributes.get("kernel", 0) ** 2
    if not window:
        window = math.prod(site.input_shape[1:]) // pixels
    words = math.ceil(channels * bits / 16)
    step = profile.operation("max" if site.operator == "maxpool" else "add")
    compute = (step + profile.operation("element")) * (window * channels)
    if site.operator in ("avgpool", "globalavgpool"):
        compute = compute + profile.operation("div") * channels
    fetch = profile.read(window * words, window) + profile.operation("input") * window
    backup = profile.write(words, 1) + profile.operation("reuse_O")
    progress = profile.value("progress_words")
    row = (compute + fetch + backup) * (pixels / rows) + profile.write(progress, 1)
    return LayerCost(
        site.name, 0.0, compute * pixels, fetch * pixels, Cost(),
        backup * pixels + profile.write(progress, 1) * rows, rows, row, profile.read(progress, 1),
        round(2 * channels * profile.value("word")),
    )  # fmt: skip
