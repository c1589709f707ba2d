import pytest

from search.api.candidate import to_plain
from search.api.errors import ConfigError, EvaluationError
from search.api.network import Site
from spaces.plan import (
    ArtefactRef,
    NonlinearityPlan,
    SiteChoice,
    masked_operator,
    parts_of,
    work_operator,
)

SITES = (Site("a", "activation", "relu", (2, 2, 2), (2, 2, 2)),)


def test_pools_have_another_name_in_cost_models() -> None:
    assert [work_operator(o) for o in ("max", "avg", "relu", "x2act")] == [
        "maxpool", "avgpool", "relu", "x2act"
    ]  # fmt: skip


def test_a_plan_of_another_network_is_refused() -> None:
    with pytest.raises(EvaluationError, match="'b' is not in the network"):
        NonlinearityPlan((SiteChoice("b", "relu"),)).usage(SITES)


def masked(kept: int | None) -> NonlinearityPlan:
    choice = SiteChoice("a", "relu/poly2", (ArtefactRef("mask", "00"),), kept=kept, relu_bits=16)
    return NonlinearityPlan((choice,))


def test_a_masked_site_does_two_pieces_of_work_and_starts_each_once() -> None:
    plan = masked(3)
    assert NonlinearityPlan.decode(to_plain(plan)) == plan
    relu, rest = plan.usage(SITES)
    assert (relu.operator, relu.calls, relu.elements, relu.bits) == ("relu", 1.0, 3.0, 16)
    assert (rest.operator, rest.calls, rest.elements, rest.bits) == ("poly2", 1.0, 5.0, None)
    assert plan.masks() == {"a": "00"}


@pytest.mark.parametrize("kept", [None, 8, 9])
def test_a_mask_that_keeps_all_or_an_unknown_number_is_refused(kept: int | None) -> None:
    with pytest.raises(EvaluationError, match=f"a: relu/poly2 keeps {kept} of 8"):
        masked(kept).usage(SITES)


def test_a_count_must_be_a_positive_whole_number() -> None:
    data = to_plain(masked(3))
    data["choices"][0]["kept"] = 0
    with pytest.raises(ConfigError, match="whole number above 0"):
        NonlinearityPlan.decode(data)


def test_names_of_masked_operators_come_apart_again() -> None:
    assert parts_of(masked_operator("poly2")) == ("relu", "poly2")
    assert parts_of("relu") is None


def test_coefficients_do_not_change_the_work() -> None:
    plan = NonlinearityPlan((SiteChoice("a", "x2act", (ArtefactRef("coefficients", "00"),)),))
    assert [(w.operator, w.elements) for w in plan.usage(SITES)] == [("x2act", 8.0)]
