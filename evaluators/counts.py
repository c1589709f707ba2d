"""How many elements still need a comparison: the protocol-free cost of a placement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict

from evaluators.linear import Rate
from evaluators.usage import sites_of, usage_of
from search.api.candidate import Candidate
from search.api.metric import Fidelity, Measurement, Metric
from search.api.network import N, Site, Usage
from search.api.protocols import Context

RELU_COUNT = Metric("relu_count", "1", "min", "ReLU elements per inference; max pools not counted")
MAXPOOL_COUNT = Metric(
    "maxpool_count", "1", "min", "input elements of max pools per inference; each is compared"
)


class CountCost:
    """A ``CostModel`` that counts the input elements of one operator; every other is free.

    Args:
        metric: name of the count.
        operator: the operator whose elements count.
    """

    def __init__(self, metric: Metric, operator: str) -> None:
        self._metric = metric
        self._operator = operator
        self._counted = Rate(element=1.0)
        self._free = Rate()

    @property
    def metric(self) -> Metric:
        """What is counted."""
        return self._metric

    def cost(self, usage: Usage[N]) -> N:
        """Number of elements; floats, tensors or arrays in, the same out."""
        total: Any = 0.0
        for work in usage:
            total = total + self._rate(work.operator).of(work)
        return total  # type: ignore[no-any-return]

    def breakdown(self, usage: Usage[float]) -> Mapping[str, float]:
        """Elements by site; sums to ``cost``."""
        by_site: dict[str, float] = {}
        for work in usage:
            by_site[work.site] = by_site.get(work.site, 0.0) + self._rate(work.operator).of(work)
        return by_site

    def _rate(self, operator: str) -> Rate:
        return self._counted if operator == self._operator else self._free


class ReluCountConfig(BaseModel):
    """Options of ``{name: relu_count}``: none."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ReluCount:
    """ReLU elements per inference; max-pool elements are a second, separate count.

    Args:
        sites: the network's sites.
    """

    Config: ClassVar[type[ReluCountConfig]] = ReluCountConfig
    metrics: Sequence[Metric] = (RELU_COUNT, MAXPOOL_COUNT)
    needs: frozenset[str] = frozenset()

    def __init__(self, sites: Sequence[Site]) -> None:
        self._sites = tuple(sites)
        self._models = {
            RELU_COUNT.name: CountCost(RELU_COUNT, "relu"),
            MAXPOOL_COUNT.name: CountCost(MAXPOOL_COUNT, "maxpool"),
        }

    @classmethod
    def from_config(cls, config: ReluCountConfig, workload: Any) -> Self:
        """The evaluator for ``workload``'s network.

        Raises:
            ConfigError: there is no workload.
        """
        return cls(sites_of(workload, "relu_count"))

    def cost_models(self) -> Mapping[str, CountCost]:
        """Metric name -> the model that ``evaluate`` scores with."""
        return dict(self._models)

    def evaluate(
        self, candidate: Candidate[Any], fidelity: Fidelity, ctx: Context
    ) -> Sequence[Measurement]:
        """Both counts, exact for the plan: evidence ``bound``.

        Raises:
            EvaluationError: the payload does not fit the network.
        """
        usage = usage_of(candidate, self._sites)
        return tuple(
            Measurement(name, float(model.cost(usage)), model.metric.unit, fidelity.name, "bound")
            for name, model in self._models.items()
        )
