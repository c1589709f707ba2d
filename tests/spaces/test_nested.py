from __future__ import annotations

import json

import pytest

from search.api.candidate import Candidate, to_plain
from search.api.errors import ConfigError, EvaluationError
from search.api.network import Site
from spaces.nested import KeptWeights, MemberPlan, NestedPlan, decode_plan
from spaces.plan import ArtefactRef, NonlinearityPlan, SiteChoice
from spaces.relu import ReluPlacement

SITES = (
    Site("conv", "conv", "conv", (1, 4, 4), (2, 4, 4), macs=288, weights=18),
    Site("relu", "activation", "relu", (2, 4, 4), (2, 4, 4)),
    Site("fc", "linear", "linear", (32,), (10,), macs=320, weights=320),
)


def member(level: int, density: float, kept: int, conv: int, fc: int) -> MemberPlan:
    choice = SiteChoice("relu", "relu/identity", (ArtefactRef("mask", "ab" * 32),), kept)
    weights = (KeptWeights("conv", conv), KeptWeights("fc", fc))
    return MemberPlan(level, density, NonlinearityPlan((choice,)), weights)


PLAN = NestedPlan((member(1, 0.1, 3, 9, 32), member(2, 0.5, 16, 18, 160)))


def test_multiply_accumulates_shrink_with_the_weights_and_nothing_else_does() -> None:
    thin, whole = PLAN.members[0].usage(SITES), PLAN.members[0].plan.usage(SITES)
    macs = {w.site: w.macs for w in thin if w.macs}
    assert macs == {"conv": 144.0, "fc": 32.0}
    assert {w.site: w.weights for w in thin if w.weights} == {"conv": 9, "fc": 32}
    assert [(w.calls, w.elements, w.outputs) for w in thin] == [
        (w.calls, w.elements, w.outputs) for w in whole
    ]
    assert [w.elements for w in thin if w.operator == "relu"] == [3.0]


def test_a_layer_with_no_weight_left_does_no_multiplication() -> None:
    (conv, *_) = member(1, 0.1, 3, 0, 32).usage(SITES)
    assert (conv.macs, conv.weights, conv.calls) == (0.0, 0, 1.0)


@pytest.mark.parametrize(("site", "nonzeros"), [("conv", 19), ("other", 1), ("fc", -1)])
def test_a_plan_of_another_network_is_refused(site: str, nonzeros: int) -> None:
    plan = MemberPlan(1, 0.1, NonlinearityPlan(()), (KeptWeights(site, nonzeros),))
    with pytest.raises(EvaluationError, match=f"{nonzeros} weights at layer '{site}'"):
        plan.usage(SITES)


def test_plans_survive_json() -> None:
    for plan in (PLAN, PLAN.members[1], PLAN.members[1].plan):
        data = json.loads(json.dumps(to_plain(plan)))
        assert decode_plan(data) == plan
        assert ReluPlacement(SITES).decode(data) == plan


def test_members_are_told_apart_by_their_digest() -> None:
    digests = {Candidate("relu_placement", p).digest for p in (*PLAN.members, PLAN)}
    assert len(digests) == 3


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"members": 3}, "not a plan of nested networks"),
        ({"members": [{"level": 1}]}, "not a member of nested networks"),
        ({"level": "x", "density": 1, "plan": {"choices": []}, "weights": []}, "not a member"),
        ({"members": []}, "levels 1, 2"),
        (3, "not a nonlinearity plan"),
    ],
)
def test_other_data_is_refused(data: object, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        decode_plan(data)


def test_members_come_in_order() -> None:
    with pytest.raises(ConfigError, match="levels 1, 2"):
        NestedPlan(PLAN.members[::-1])
    with pytest.raises(ConfigError, match="rising densities"):
        NestedPlan((PLAN.members[0], member(2, 0.1, 3, 9, 32)))
