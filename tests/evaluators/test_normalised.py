from __future__ import annotations

import numpy as np
import pytest

from evaluators.counts import RELU_COUNT, CountCost
from evaluators.linear import LinearCost, Rate
from evaluators.normalised import NormalisedRelus
from search.api.errors import ConfigError
from search.api.metric import Metric
from search.api.network import Site, fixed_work, part_work

SITES = (
    Site("conv", "conv", "conv", (1, 4, 4), (2, 4, 4), macs=288, weights=18),
    Site("relu", "activation", "relu", (2, 4, 4), (2, 4, 4)),
)
LATENCY = Metric("latency_2pc", "ms", "min", "")
RATES = {
    "conv": Rate(call=5.0, element=1.0, mac=0.02),
    "relu": Rate(call=7.0, element=0.5),
    "identity": Rate(),
}
MODEL = NormalisedRelus(LinearCost(LATENCY, RATES, "test"), SITES)


def test_multiply_accumulates_count_at_the_models_rate() -> None:
    assert MODEL.relu_cost == pytest.approx(0.5)
    whole = [fixed_work(site) for site in SITES]
    assert MODEL.cost(whole) == pytest.approx(32 + 288 * 0.02 / 0.5)
    assert sum(MODEL.breakdown(whole).values()) == pytest.approx(MODEL.cost(whole))
    assert MODEL.breakdown(whole)["relu"] == pytest.approx(32)


def test_starts_and_transfers_do_not_count() -> None:
    masked = [part_work(SITES[1], "relu", 3.0), part_work(SITES[1], "identity", 29.0)]
    assert MODEL.cost(masked) == pytest.approx(3.0)


def test_amounts_may_be_arrays_over_plans() -> None:
    found = MODEL.cost([part_work(SITES[1], "relu", np.array([1.0, 2.0]))])
    assert found.tolist() == pytest.approx([1.0, 2.0])


def test_the_metric_says_by_what_it_was_converted() -> None:
    assert MODEL.metric.unit == "1"
    assert "latency_2pc (0.5 ms per ReLU element)" in MODEL.metric.doc


def test_without_relus_or_their_cost_nothing_can_be_told_in_relus() -> None:
    with pytest.raises(ConfigError, match="no ReLU to compare with"):
        NormalisedRelus(CountCost(RELU_COUNT, "relu"), SITES[:1])
    with pytest.raises(ConfigError, match="charges 0"):
        NormalisedRelus(CountCost(RELU_COUNT, "maxpool"), SITES)
