import dataclasses

import pytest

from evaluators.linear import LinearCost, Rate
from search.api.errors import EvaluationError
from search.api.metric import Metric
from search.api.network import Work

MODEL = LinearCost(
    Metric("cost", "ms", "min", "test"),
    {"relu": Rate(call=2.0, element=0.5), "conv": Rate(mac=0.25), "identity": Rate()},
    "a_table",
)
USAGE = (
    Work("c", "conv", 1.0, 4.0, 4.0, 8.0),
    Work("r", "relu", 0.5, 3.0, 3.0, 0.0),
    Work("r", "identity", 0.5, 3.0, 3.0, 0.0),
)


def test_cost_is_the_sum_of_rates_times_amounts() -> None:
    assert MODEL.cost(USAGE) == 0.25 * 8 + 2.0 * 0.5 + 0.5 * 3
    assert MODEL.cost(()) == 0.0


def test_breakdown_adds_up_by_site() -> None:
    assert MODEL.breakdown(USAGE) == {"c": 2.0, "r": 2.5}


def test_an_unknown_operator_names_site_table_and_nearest() -> None:
    work = Work("block.act", "relu6", 1.0, 1.0, 1.0, 0.0)
    message = r"block\.act: operator 'relu6' has no cost in table 'a_table' .*Did you mean 'relu'"
    with pytest.raises(EvaluationError, match=message):
        MODEL.cost((work,))
    with pytest.raises(EvaluationError, match=message):
        MODEL.breakdown((work,))


def test_rates_add_and_scale() -> None:
    assert Rate(1, 2, 3) + Rate(1, 1, 1) * 2 == Rate(3, 4, 5)


def test_outputs_and_weights_have_rates_and_weights_are_read_at_each_call() -> None:
    rate = Rate(output=2.0, weight=0.5)
    assert rate.of(Work("c", "conv", 1.0, 9.0, 3.0, 0.0, weights=8)) == 2 * 3 + 0.5 * 8
    assert rate.of(Work("c", "conv", 0.25, 9.0, 0.75, 0.0, weights=8)) == (2 * 3 + 0.5 * 8) / 4
    assert Rate(1, 2, 3, 4, 5) + Rate(1, 1, 1, 1, 1) * 2 == Rate(3, 4, 5, 6, 7)


def test_a_site_may_have_a_rate_of_its_own() -> None:
    model = dataclasses.replace(MODEL, sited={("r", "relu"): Rate(element=10.0)})
    assert model.breakdown(USAGE) == {"c": 2.0, "r": 30.0}


NARROW = dataclasses.replace(MODEL, narrow={("relu", b): Rate(element=0.1 * b) for b in (4, 5)})


def test_a_narrow_comparison_has_the_rate_of_its_width() -> None:
    assert NARROW.cost([Work("r", "relu", 1.0, 10.0, 10.0, 0.0, bits=4)]) == pytest.approx(4.0)
    # Only comparisons have a width.
    assert NARROW.cost([Work("c", "conv", 1.0, 4.0, 4.0, 8.0, bits=4)]) == 2.0


def test_a_width_without_a_rate_names_the_site_and_the_widths() -> None:
    work = Work("block.act", "relu", 1.0, 1.0, 1.0, 0.0, bits=8)
    with pytest.raises(EvaluationError, match=r"block\.act: .* 8 bits \(expected 4 to 5\)"):
        NARROW.cost([work])
    with pytest.raises(EvaluationError, match="it has none"):
        MODEL.cost([work])


def test_a_capped_relu_has_no_narrow_comparison() -> None:
    capped = dataclasses.replace(NARROW, sited={("r", "relu"): Rate(element=1.0)})
    with pytest.raises(EvaluationError, match="r: .* of its own shape"):
        capped.cost([Work("r", "relu", 1.0, 1.0, 1.0, 0.0, bits=4)])


def test_advice_follows_the_message() -> None:
    model = dataclasses.replace(MODEL, advice=lambda operator: f"Ask about {operator}.")
    with pytest.raises(EvaluationError, match=r"Ask about sigmoid\.$"):
        model.cost([Work("s", "sigmoid", 1.0, 1.0, 1.0, 0.0)])
