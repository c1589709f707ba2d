from typing import Any

import pytest

from search.api.errors import ConfigError
from spaces.pruning.rules import RatioRule
from spaces.pruning.space import PruningRatio


def rule(network: Any, ratio: float | None, spend: float = 0.0, low: float = 0.002,
         **options: Any) -> RatioRule:  # fmt: skip
    layout = PruningRatio(network.sites(), network.links(), low=low, **options).layout
    return RatioRule(layout, ratio, spend, low, options.get("granularity") == "network")


def test_any_ratio_goes_without_one(lenet: Any) -> None:
    made = rule(lenet, None)
    assert made.allowed is None
    assert made.check((), (1.0,) * 4) == []
    assert made.scaled((), (1.0,) * 4) == (1.0,) * 4


def test_the_ratio_is_of_all_weights(lenet: Any) -> None:
    made = rule(lenet, 71)
    assert made.allowed == 6063
    (violation,) = made.check((), (1.0,) * 4)
    assert (violation.rule, violation.excess, violation.unit) == ("ratio", 424_437.0, "1")
    assert "430500 of 430500 weights (1x); at most 6063 allowed (71x)" in violation.detail
    assert made.check((), (0.2, 0.08, 0.009, 0.07)) == []


def test_allowed_weights_must_be_spent_where_asked(lenet: Any) -> None:
    made = rule(lenet, 71, spend=0.99)
    assert made.check((), (0.2, 0.08, 0.009, 0.07)) == []
    (violation,) = made.check((), (0.1, 0.08, 0.009, 0.07))
    assert (violation.rule, violation.excess) == ("spend", 3.0)
    scaled = made.scaled((), (0.1, 0.08, 0.009, 0.07))
    assert sum(made.lost((), scaled).values()) == 430_500 - 6063


def test_coarse_units_may_leave_some_over(lenet: Any) -> None:
    made = rule(lenet, 2, spend=1.0, structure={"fc1": "filter"})
    scaled = made.scaled((), (1.0,))
    assert made.check((), scaled) == []
    assert made.lost((), scaled)["fc1"] == 270 * 800


def test_one_share_for_all_may_not_be_too_small_either(lenet: Any) -> None:
    made = rule(lenet, 10, spend=1.0, granularity="network")
    assert [v.rule for v in made.check((), (0.05,))] == ["spend"]
    scaled = made.scaled((), (0.05,))
    assert made.check((), scaled) == []
    assert 0 <= 43_050 - (430_500 - sum(made.lost((), scaled).values())) <= 1


def test_structures_in_which_the_ratio_is_out_of_reach_are_changed(lenet: Any) -> None:
    # One of four weights in each group stays at least: by 2:4 alone, no more than 4x.
    made = rule(lenet, 30, low=0.02, structure={"search": ["nm", "filter", "column"]})
    blocks = made.structures(("filter", "nm", "nm", "nm"))
    assert blocks[2] != "nm"
    assert made.check(blocks, made.scaled(blocks, (1.0,) * 4)) == []
    assert made.structures(("filter", "column", "filter", "column"))[2] == "filter"


def test_unknown_structures_become_the_first_that_a_layer_has(lenet: Any) -> None:
    made = rule(lenet, None, structure={"search": ["pattern", "filter"]})
    assert made.structures(("filter", "nm")) == ("filter", "pattern")


def test_a_ratio_out_of_reach_is_refused_at_once(lenet: Any) -> None:
    with pytest.raises(ConfigError, match=r"space\.ratio: at most .* can be reached \(got 400\)"):
        rule(lenet, 400, low=0.01)
    with pytest.raises(ConfigError, match="Lower `low`, or fix or skip fewer"):
        PruningRatio(lenet.sites(), lenet.links(), ratio=2, skip=["fc1"])
