"""ReLUs and multiply-accumulates on one scale: how many ReLUs a network's work is worth.

Source: AdaPI (ICCAD 2024), normalised ReLU count. The exchange rate is the cost model's own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from search.api.errors import ConfigError
from search.api.metric import Metric
from search.api.network import N, Site, Usage, part_work
from search.api.protocols import CostModel

NORMALISED = Metric(
    "normalised_relus",
    "1",
    "min",
    "ReLU elements, plus multiply-accumulates times (cost of one / cost of one ReLU element)",
    "AdaPI (ICCAD 2024), normalised ReLU count",
)


class NormalisedRelus:
    """A ``CostModel``: ReLU elements plus what the multiply-accumulates cost, told in ReLUs.

    The exchange rate comes from another cost model (latency, energy): what it charges for the
    multiply-accumulates of the work, over what it charges for one ReLU element, the mean over the
    network's ReLU elements without what a ReLU layer costs to start.

    Args:
        model: gives the exchange rate, such as that of ``latency_2pc``.
        sites: the network's sites.

    Raises:
        ConfigError: the network has no ReLU, or the model charges nothing for one.
    """

    def __init__(self, model: CostModel, sites: Sequence[Site]) -> None:
        self._model = model
        relus = [site for site in sites if site.operator == "relu"]
        elements = sum(site.elements for site in relus)
        if not elements:
            raise ConfigError("normalised_relus: the network has no ReLU to compare with")
        every = [part_work(site, "relu", float(site.elements)) for site in relus]
        none = [part_work(site, "relu", 0.0) for site in relus]
        self._relu = (model.cost(every) - model.cost(none)) / elements
        if not self._relu > 0:
            raise ConfigError(
                f"normalised_relus: {model.metric.name} charges {self._relu:g} "
                f"{model.metric.unit} for a ReLU element, so nothing can be told in ReLUs"
            )
        self._sites = tuple(sites)

    @property
    def metric(self) -> Metric:
        """``normalised_relus``, a count."""
        rate = f"{self._relu:.3g} {self._model.metric.unit} per ReLU element"
        return replace(
            NORMALISED,
            doc=f"{NORMALISED.doc}, both by {self._model.metric.name} ({rate})",
        )

    @property
    def relu_cost(self) -> float:
        """Cost of one ReLU element, in the unit of the model's metric."""
        return float(self._relu)

    def cost(self, usage: Usage[N]) -> N:
        """The count; floats, tensors or arrays in, the same out."""
        without = [replace(work, macs=0.0 * work.macs) for work in usage]
        total: Any = (self._model.cost(usage) - self._model.cost(without)) / self._relu
        for work in usage:
            if work.operator == "relu":
                total = total + work.elements
        return total  # type: ignore[no-any-return]

    def breakdown(self, usage: Usage[float]) -> Mapping[str, float]:
        """The count by site; sums to ``cost``."""
        found: dict[str, float] = {}
        for work in usage:
            found[work.site] = found.get(work.site, 0.0) + self.cost([work])
        return found
