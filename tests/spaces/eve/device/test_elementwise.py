from __future__ import annotations

from dataclasses import replace

import pytest

from search.api.errors import EvaluationError
from search.api.network import Site
from spaces.eve.device.elementwise import elementwise_cost
from spaces.eve.device.table import load_profile

PROFILE = load_profile("external_fram")
POOL = Site("p", "pool", "maxpool", (8, 6, 6), (8, 3, 3),
            attributes={"kernel": 2, "stride": 2, "padding": 0})  # fmt: skip


def test_relu_compares_each_element_and_moves_nothing() -> None:
    found = elementwise_cost(Site("r", "activation", "relu", (8, 6, 6), (8, 6, 6)), 0.5, 16,
                             PROFILE)  # fmt: skip
    assert found.total.cycles == 14 * 8 * 36 / 2
    assert found.batches == 0


def test_max_pool_reads_windows_and_writes_pixels() -> None:
    found = elementwise_cost(POOL, 1.0, 16, PROFILE)
    reads = PROFILE.read(8, 1) + PROFILE.operation("input")
    assert found.fetch.cycles == pytest.approx(reads.cycles * 36)
    assert found.compute.cycles == pytest.approx((14 + 2 * 12 + 44) * 8 * 36)
    assert found.batches == 3
    assert found.total.energy_j == pytest.approx(3 * found.worst.energy_j)


def test_averages_divide() -> None:
    average = replace(POOL, operator="avgpool")
    assert elementwise_cost(average, 1.0, 16, PROFILE).compute.cycles == pytest.approx(
        (12 + 2 * 12 + 44) * 8 * 36 + 160 * 8 * 9
    )
    everywhere = Site("g", "other", "globalavgpool", (8, 6, 6), (8, 1, 1))
    assert elementwise_cost(everywhere, 1.0, 16, PROFILE).fetch.cycles > 0


def test_unknown_operators_are_told() -> None:
    with pytest.raises(EvaluationError, match="no operator 'softmax'"):
        elementwise_cost(Site("s", "other", "softmax", (8,), (8,)), 1.0, 16, PROFILE)
