"""A network as plain data (sites), and the work a candidate does on it (usage).

These two types are the seam between spaces, methods and cost models: a space turns a plan into
:data:`Usage`, a method turns relaxed gates into the same :data:`Usage` with tensors in place of
numbers, and one cost formula serves both. Nothing here imports torch or numpy.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar

SiteKind = Literal["activation", "pool", "conv", "linear", "add", "norm", "other"]

N = TypeVar("N", float, Any)
"""An amount: a float, a 0-dim tensor that carries a gradient, or an array over many plans."""


@dataclass(frozen=True)
class Site:
    """One operator of a traced network, per sample (the batch axis is left out).

    Args:
        name: dotted module path, unique in the network. A module called k times gives k sites,
            the later ones with a suffix ``#1``, ``#2``, ...
        kind: what it is. ``activation`` and ``pool`` sites are where a nonlinearity is chosen.
        operator: the operator in the original network: ``relu``, ``maxpool``, ``avgpool``,
            ``globalavgpool``, ``conv``, ``linear``, ``add``, ``batchnorm``, ...
        input_shape: shape of the (first) input, e.g. ``(C, H, W)``.
        output_shape: shape of the output.
        macs: multiply-accumulates per sample (0 where that makes no sense).
        weights: number of weight entries, bias left out.
        attributes: further integers of the operator: ``kernel``, ``stride``, ``padding``,
            ``groups`` (square kernels give one entry).
    """

    name: str
    kind: SiteKind
    operator: str
    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]
    macs: int = 0
    weights: int = 0
    attributes: Mapping[str, int] = field(default_factory=dict)

    @property
    def elements(self) -> int:
        """Number of input elements per sample."""
        return math.prod(self.input_shape)

    @property
    def outputs(self) -> int:
        """Number of output elements per sample."""
        return math.prod(self.output_shape)


@dataclass(frozen=True)
class Work(Generic[N]):
    """The share of a site that one operator does; cost models are sums over these.

    A layer whose gate gives ReLU probability p has ``calls = p`` and ``elements = p * E``. A pixel
    mask that keeps k of E elements has ``calls = 1`` and ``elements = k``: it saves bytes but no
    rounds. At one-hot gates both are what the hardened network has.

    Args:
        site: name of the site.
        operator: what is done: ``relu``, ``x2act``, ``maxpool``, ``avgpool``, ``conv``, ...
        calls: how often the operator is started (0, 1, or a probability).
        elements: input elements it processes per sample.
        outputs: output elements per sample.
        macs: multiply-accumulates per sample.
        weights: weight entries it reads.
        level: level of the modulus chain, for encrypted evaluation.
        bits: width of the ring in which a comparison is done; None for the protocol's own.
    """

    site: str
    operator: str
    calls: N
    elements: N
    outputs: N
    macs: N
    weights: int = 0
    level: int | None = None
    bits: int | None = None


Usage = Sequence[Work[N]]


def fixed_work(site: Site, operator: str | None = None) -> Work[float]:
    """The whole of ``site`` done once by ``operator`` (default: the site's own)."""
    return Work(
        site=site.name,
        operator=operator or site.operator,
        calls=1.0,
        elements=float(site.elements),
        outputs=float(site.outputs),
        macs=float(site.macs),
        weights=site.weights,
    )


def scaled_work(site: Site, operator: str, share: N) -> Work[N]:
    """``share`` (a probability) of ``site`` done by ``operator``: a relaxed layer-wise choice."""
    return Work(
        site=site.name,
        operator=operator,
        calls=share,
        elements=share * float(site.elements),
        outputs=share * float(site.outputs),
        macs=share * float(site.macs),
        weights=site.weights,
    )


def part_work(site: Site, operator: str, elements: N, bits: int | None = None) -> Work[N]:
    """``elements`` of an elementwise ``site`` done by ``operator``, started once.

    What a mask leaves to one of its two operators. The operator is started however few elements
    there are: a mask saves bytes, but no rounds.
    """
    return Work(
        site=site.name,
        operator=operator,
        calls=1.0,
        elements=elements,
        outputs=elements,
        macs=0.0,
        bits=bits,
    )
