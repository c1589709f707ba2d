import dataclasses
from typing import Any

import pytest

from search.api.errors import ConfigError, InfeasibleCandidate
from spaces.pruning.plan import LayerPruning, PruningPlan
from spaces.pruning.shares import of_plan, of_sites
from spaces.pruning.space import PruningRatio


def layout_of(network: Any, **options: Any) -> Any:
    return PruningRatio(network.sites(), network.links(), **options).layout


def test_counts_come_back_as_shares(lenet: Any) -> None:
    plan = PruningPlan((LayerPruning("conv2", "element", 2_000, 25_000),))
    assert of_plan(layout_of(lenet), plan, 0.002) == ([1.0, 0.08, 1.0, 1.0], [0] * 4)


def test_a_common_share_is_found_if_there_is_one(lenet: Any) -> None:
    layout = layout_of(lenet, granularity="network", structure="filter")
    plan = PruningPlan(tuple(
        LayerPruning(n, "filter", k, u) for n, k, u in
        (("conv1", 3, 20), ("conv2", 7, 50), ("fc1", 74, 500))
    ))  # fmt: skip
    (share,), _ = of_plan(layout, plan, 0.002)
    assert [max(1, int(share * u + 0.5)) for u in (20, 50, 500)] == [3, 7, 74]
    other = dataclasses.replace(plan.layers[2], kept=100)
    with pytest.raises(InfeasibleCandidate, match="fc1: got 100 of 500 units of filter; it shares"):
        of_plan(layout, PruningPlan((*plan.layers[:2], other)), 0.002)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (LayerPruning("fc9", "element", 1, 2), "fc9: it stays whole here"),
        (LayerPruning("conv1", "filter", 1, 20), "conv1: got filter; expected element"),
        (LayerPruning("conv1", "element", 1, 20), "it has 500 units"),
        (LayerPruning("conv1", "element", 0, 500), "got 0 of 500 units of element"),
        (LayerPruning("fc1", "element", 1, 400_000), "got a share of 2.5e-06; expected 0.002 to 1"),
    ],
)
def test_plans_that_no_point_gives(lenet: Any, entry: LayerPruning, message: str) -> None:
    with pytest.raises(InfeasibleCandidate, match=message):
        of_plan(layout_of(lenet), PruningPlan((entry,)), 0.002)


def test_filters_that_do_not_agree_are_told_by_how_many(residual: Any) -> None:
    layout = layout_of(residual, structure="filter")
    plan = PruningPlan((LayerPruning("stem", "filter", 4, 8), LayerPruning("b", "filter", 7, 8)))
    with pytest.raises(InfeasibleCandidate) as caught:
        of_plan(layout, plan, 0.002)
    (violation,) = caught.value.violations
    assert (violation.rule, violation.excess) == ("agreement", 3.0)


def test_fixed_shares_are_no_matter_of_a_point(lenet: Any) -> None:
    layout = layout_of(lenet, fixed={"conv1": 0.2})
    plan = PruningPlan((LayerPruning("conv1", "element", 50, 500),))
    with pytest.raises(InfeasibleCandidate, match="element is fixed at 100 of 500 units; got 50"):
        of_plan(layout, plan, 0.002)


def test_shares_by_hand(residual: Any) -> None:
    layout = layout_of(residual, structure=["filter", "column"])
    both = {"filter": 0.5, "column": 0.25}
    found = of_sites(layout, dict.fromkeys(("stem", "a", "b", "depthwise", "point"), both)
                     | {"classifier": 0.5}, 0.002)  # fmt: skip
    assert found == (0.5, 0.25, 0.5, 0.25, 0.25, 0.25, 0.5, 0.25, 0.5)


@pytest.mark.parametrize(
    ("shares", "message"),
    [
        ({"stem": 0.5, "a": 0.5, "b": 0.25}, r"keep\.b: expected 0.5 as for stem"),
        ({"stem": 0.5}, r"keep\.a: no share for filter"),
        ({"stem": 0.0001}, r"keep\.stem: expected 0.002 to 1 \(got 0.0001\)"),
    ],
)
def test_shares_by_hand_that_cannot_be(
    residual: Any, shares: dict[str, float], message: str
) -> None:
    layout = layout_of(residual, structure={"stem": "filter", "a": "filter", "b": "filter",
                                            "depthwise": "filter"})  # fmt: skip
    with pytest.raises(ConfigError, match=message):
        of_sites(layout, shares, 0.002)


def test_several_structures_need_a_share_each(lenet: Any) -> None:
    layout = layout_of(lenet, structure={"conv2": ["filter", "column"]})
    with pytest.raises(ConfigError, match=r"keep\.conv2: no share for filter \(got 0.5\)"):
        of_sites(layout, {"conv2": 0.5}, 0.002)
