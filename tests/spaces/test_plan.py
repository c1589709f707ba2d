import pytest

from search.api.candidate import to_plain
from search.api.errors import EvaluationError
from search.api.network import Site
from spaces.plan import ArtefactRef, NonlinearityPlan, SiteChoice, work_operator

SITES = (Site("a", "activation", "relu", (2, 2, 2), (2, 2, 2)),)


def test_pools_have_another_name_in_cost_models() -> None:
    assert [work_operator(o) for o in ("max", "avg", "relu", "x2act")] == [
        "maxpool", "avgpool", "relu", "x2act"
    ]  # fmt: skip


def test_a_plan_of_another_network_is_refused() -> None:
    with pytest.raises(EvaluationError, match="'b' is not in the network"):
        NonlinearityPlan((SiteChoice("b", "relu"),)).usage(SITES)


def test_artefacts_are_carried_and_a_mask_has_no_known_work() -> None:
    plan = NonlinearityPlan((SiteChoice("a", "relu", (ArtefactRef("mask", "00"),)),))
    assert NonlinearityPlan.decode(to_plain(plan)) == plan
    with pytest.raises(EvaluationError, match="a: the work of a masked layer"):
        plan.usage(SITES)


def test_coefficients_do_not_change_the_work() -> None:
    plan = NonlinearityPlan((SiteChoice("a", "x2act", (ArtefactRef("coefficients", "00"),)),))
    assert [(w.operator, w.elements) for w in plan.usage(SITES)] == [("x2act", 8.0)]
