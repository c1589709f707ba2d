"""What an encrypted inference will take and how precise it will be, without running it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

import numpy as np

from evaluators.fhe import reference
from evaluators.fhe.costs import Latency, OperationTimes, latency
from evaluators.fhe.levels import circuit_of
from evaluators.fhe.noise import SEAL, Library, variances
from evaluators.fhe.noise_gains import Gains, analyse
from evaluators.fhe.noise_simulation import simulate
from evaluators.fhe.precision import bits, compare

if TYPE_CHECKING:
    from evaluators.fhe.packed import PackedNetwork
    from spaces.ckks.params import CkksParams

Method = Literal["model", "simulation"]


@dataclass(frozen=True)
class Bits:
    """Precision of the outputs, -log2 of the absolute error.

    Args:
        mean: of the mean error.
        worst: of the largest error over all inputs and outputs (the median of what it may be).
        by_node: node -> share of the error's variance that arises there, in [0, 1]; empty for a
            simulation.
    """

    mean: float
    worst: float
    by_node: Mapping[str, float] = field(default_factory=dict)


def predicted_latency(packed: PackedNetwork, params: CkksParams, times: OperationTimes) -> Latency:
    """Time of one inference by stage.

    Raises:
        BackendFailure: the network does not fit the chain.
        ConfigError: an operation has no time.
    """
    special = len(params.chain.special)
    return latency(circuit_of(packed, params), params.log_n, times, special)


def modelled_bits(
    packed: PackedNetwork,
    sets: Sequence[CkksParams],
    images: np.ndarray,
    library: Library = SEAL,
) -> list[Bits]:
    """Precision under each of ``sets``, which share the layouts of ``packed``.

    Args:
        packed: the network.
        sets: configurations that differ in chain and scale.
        images: ``[images, elements]``.
        library: that computes.

    Raises:
        BackendFailure: the network does not fit a chain.
    """
    gains = _analysed(_Question(packed, images))
    sources = [variances(packed.graph, params, library=library) for params in sets]
    return [_bits(gains, shares) for shares in (gains.shares([one])[0] for one in sources)]


def simulated_bits(
    packed: PackedNetwork,
    params: CkksParams,
    images: np.ndarray,
    *,
    library: Library = SEAL,
    repeats: int = 3,
    seed: int = 0,
) -> Bits:
    """Precision by running ``images`` in the clear with noise drawn for every operation.

    Raises:
        BackendFailure: the network does not fit the chain.
    """
    exact = reference.run(packed.graph, images)
    sources = variances(packed.graph, params, library=library)
    found = simulate(packed, sources, images, repeats=repeats, seed=seed)
    precision = compare(found.reshape(-1, exact.shape[1]), np.tile(exact, (repeats, 1)))
    return Bits(precision.mean, precision.worst)


@dataclass(frozen=True)
class _Question:
    """Network and images, equal if they are the same objects or have the same content."""

    packed: PackedNetwork = field(compare=False)
    images: np.ndarray = field(compare=False)
    key: tuple[object, ...] = field(init=False)

    def __post_init__(self) -> None:
        linears = tuple(
            (name, linear.terms, linear.folds, linear.early, linear.fold_first)
            for name, linear in self.packed.linears.items()
        )
        structure = hash((self.packed.slots, linears))
        graph = self.packed.graph  # kept alive by the cached question, so its id stays its own
        object.__setattr__(self, "key", (id(graph), structure, self.images.tobytes()))


@lru_cache(maxsize=16)
def _analysed(question: _Question) -> Gains:
    return analyse(question.packed, question.images)


def _bits(gains: Gains, shares: np.ndarray) -> Bits:
    """``shares`` are variances ``[sources, images, outputs]``."""
    total = shares.sum(axis=0)
    deviation = np.sqrt(total)
    mean = float(deviation.mean()) * math.sqrt(2 / math.pi)
    by_node: dict[str, float] = {}
    whole = max(float(total.sum()), 1e-300)
    for source, share in zip(gains.sources, shares, strict=True):
        by_node[source.node] = by_node.get(source.node, 0.0) + float(share.sum()) / whole
    return Bits(bits(mean), bits(_largest(deviation.ravel())), by_node)


def _largest(deviations: np.ndarray) -> float:
    """Median of the largest of independent normal errors."""
    from scipy.special import erf

    positive = deviations[deviations > 0]
    if not positive.size:
        return 0.0
    low, high = 0.0, 10.0 * float(positive.max())
    for _ in range(50):
        middle = (low + high) / 2
        below = float(np.log(np.maximum(erf(middle / positive / math.sqrt(2)), 1e-300)).sum())
        low, high = (middle, high) if below < math.log(0.5) else (low, middle)
    return high
