"""What a pruned network still has: weights, bytes with their indices, and multiplications."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field

from evaluators.pruning.coding import Coded, bound, coded
from evaluators.pruning.matrices import plan_of, read_weights
from evaluators.usage import sites_of
from search.api.candidate import Candidate
from search.api.errors import EvaluationError
from search.api.metric import Fidelity, Measurement, Metric
from search.api.network import Site
from search.api.protocols import Context
from spaces.pruning.plan import PruningPlan
from spaces.pruning.units import layers_of

METRICS = (
    Metric("nonzeros", "1", "min", "weights that are not zero; biases and norms not counted"),
    Metric("compression", "x", "max", "all weights over those that are not zero"),
    Metric("weight_bytes", "B", "min", "weights with all that says where they stand"),
    Metric("index_bytes", "B", "min", "the part of weight_bytes that says where weights stand"),
    Metric("fp32_ratio", "x", "max", "bytes of all weights in 32 bits over weight_bytes"),
    Metric("macs_left", "1", "min", "multiply-accumulates by weights that are not zero"),
)


class SparsityConfig(BaseModel):
    """Options of ``{name: sparsity}``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    index_bits: int | None = Field(
        None,
        ge=1,
        le=16,
        description="bits of a relative index; absent: the best of 2 to 8, or a bitmap, for each "
        "layer",
    )
    pool: int = Field(
        8, ge=1, description="patterns of a layer at most, where there are no weights to count in"
    )
    bits: int = Field(32, ge=1, le=32, description="of a weight that is not quantised")


class Sparsity:
    """Counts what is left in convolutions and linear layers.

    A candidate with weights is counted exactly from its file. One without is counted from its
    plan: no trained network of that plan has more weights or bytes.

    Args:
        sites: the network's sites.
        index_bits: of a relative index; None: the best for each layer.
        pool: patterns of a layer at most, for plans without weights.
        bits: of a weight that is not quantised.
    """

    Config: ClassVar[type[SparsityConfig]] = SparsityConfig
    metrics: Sequence[Metric] = METRICS
    # Two candidates of one plan may have different zeros, so nothing is cached by plan.
    needs: frozenset[str] = frozenset({"weights"})

    def __init__(
        self,
        sites: Sequence[Site],
        *,
        index_bits: int | None = None,
        pool: int = 8,
        bits: int = 32,
    ) -> None:
        self._sites, self._layers = tuple(sites), layers_of(sites)
        self._index_bits, self._pool, self._bits = index_bits, pool, bits

    @classmethod
    def from_config(cls, config: SparsityConfig, workload: Any) -> Self:
        """The evaluator for ``workload``'s network.

        Raises:
            ConfigError: there is no workload.
        """
        return cls(
            sites_of(workload, "sparsity"),
            index_bits=config.index_bits,
            pool=config.pool,
            bits=config.bits,
        )

    def evaluate(
        self, candidate: Candidate[Any], fidelity: Fidelity, ctx: Context
    ) -> Sequence[Measurement]:
        """All metrics, evidence ``bound``: exact with weights, at most that without.

        Raises:
            EvaluationError: the payload is no pruning plan of this network, or the weights do not
                fit it or are all zero.
        """
        layers = self.coded(candidate)
        nonzeros = sum(made.nonzeros for made in layers.values())
        if not nonzeros:
            raise EvaluationError(f"candidate {candidate.digest}: all weights are zero")
        total = sum(layer.weights for layer in self._layers)
        size = sum(made.bits for made in layers.values()) / 8
        values = (
            float(nonzeros),
            total / nonzeros,
            size,
            sum(made.index for made in layers.values()) / 8,
            4 * total / size,
            self._macs(layers),
        )
        return tuple(
            Measurement(metric.name, value, metric.unit, fidelity.name, "bound")
            for metric, value in zip(METRICS, values, strict=True)
        )

    def coded(self, candidate: Candidate[Any]) -> Mapping[str, Coded]:
        """Layer -> its weights and bits.

        Raises:
            EvaluationError: see :meth:`evaluate`.
        """
        plan = plan_of(candidate, self._layers)
        bits = self._widths(plan)
        weights = read_weights(candidate, self._layers)
        found = {}
        for layer in self._layers:
            entries, width = plan.of(layer.name), bits[layer.name]
            if weights:
                groups = next((e.units for e in entries if e.structure == "nm"), 0)
                found[layer.name] = coded(weights[layer.name], width, groups, self._index_bits)
            else:
                found[layer.name] = bound(
                    layer, entries, width, pool=self._pool, index_bits=self._index_bits
                )
        return found

    def _widths(self, plan: PruningPlan) -> dict[str, int]:
        widths = dict.fromkeys((layer.name for layer in self._layers), self._bits)
        return widths | {made.site: made.bits for made in plan.levels}

    def _macs(self, layers: Mapping[str, Coded]) -> float:
        """Those of every call of a layer; of other operators all."""
        total = 0.0
        for site in self._sites:
            made = layers.get(site.name.split("#")[0])
            if made is None:
                total += site.macs
            elif site.weights:
                total += site.macs // site.weights * made.nonzeros
        return total
