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
