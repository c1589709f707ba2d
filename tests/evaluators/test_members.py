from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from evaluators.counts import ReluCount
from evaluators.members import Members, MembersConfig
from evaluators.mpc.cost_2pc import Cost2PC
from search.api.candidate import Candidate, to_plain
from search.api.errors import ConfigError, EvaluationError
from search.api.metric import Fidelity, Measurement, Metric
from search.api.network import Site
from search.api.protocols import HasCostModels, HasTestSplit
from spaces.nested import KeptWeights, MemberPlan, NestedPlan
from spaces.plan import ArtefactRef, NonlinearityPlan, SiteChoice

SITES = (
    Site("conv", "conv", "conv", (1, 4, 4), (2, 4, 4), macs=288, weights=18,
         attributes={"kernel": 3, "stride": 1, "padding": 1, "groups": 1}),
    Site("relu", "activation", "relu", (2, 4, 4), (2, 4, 4)),
)  # fmt: skip
FIDELITY = Fidelity("top", 0)
WORKLOAD = SimpleNamespace(sites=lambda: SITES)
CTX: Any = SimpleNamespace(seed=0, device="cpu", workdir=Path())


def member(level: int, kept: int, nonzeros: int) -> MemberPlan:
    choice = SiteChoice("relu", "relu/identity", (ArtefactRef("mask", "ab" * 32),), kept)
    return MemberPlan(
        level, level / 10, NonlinearityPlan((choice,)), (KeptWeights("conv", nonzeros),)
    )


PLAN = NestedPlan((member(1, 3, 6), member(2, 10, 18)))
CANDIDATE = Candidate("relu_placement", PLAN)


class Scored:
    """An evaluator with a test split whose value is the member's level."""

    metrics = (Metric("score", "%", "max", "level"),)
    needs = frozenset({"weights"})

    def evaluate(self, candidate: Any, fidelity: Fidelity, ctx: Any) -> list[Measurement]:
        value = float(candidate.payload.level)
        return [Measurement("score", value, "%", fidelity.name, "measured", std=0.1, n=50)]

    def evaluate_test(self, candidate: Any, fidelity: Fidelity, ctx: Any) -> list[Measurement]:
        value = -float(candidate.payload.level)
        return [Measurement("score", value, "%", fidelity.name, "measured", split="test")]


def values(found: Any) -> dict[str, float]:
    return {m.metric: m.value for m in found}


def test_every_member_the_worst_and_the_mean() -> None:
    made = Members([Scored(), ReluCount(SITES)], count=2)
    found = made.evaluate(CANDIDATE, FIDELITY, CTX)
    got = values(found)
    assert (got["score.1"], got["score.2"]) == (1.0, 2.0)
    assert (got["score.worst"], got["score.mean"]) == (1.0, 1.5)
    assert (got["relu_count.1"], got["relu_count.2"]) == (3.0, 10.0)
    assert (got["relu_count.worst"], got["relu_count.mean"]) == (10.0, 6.5)
    assert set(got) == {m.name for m in made.metrics}
    by_name = {m.metric: m for m in found}
    assert by_name["relu_count.mean"].evidence == "bound"
    assert (by_name["score.worst"].std, by_name["score.mean"].std) == (0.1, None)
    assert made.needs == frozenset({"weights"})


def test_the_normalised_count_takes_its_rate_from_a_cost_model() -> None:
    cost = Cost2PC(SITES)
    made = Members([cost], count=2, sites=SITES, normalise_by="latency_2pc")
    got = values(made.evaluate(CANDIDATE, FIDELITY, CTX))
    assert got["normalised_relus.1"] > 3.0
    macs = got["normalised_relus.2"] - 10.0
    assert macs == pytest.approx(3 * (got["normalised_relus.1"] - 3.0))
    model = made.cost_models()["normalised_relus"]
    assert model.cost(PLAN.members[1].usage(SITES)) == pytest.approx(10.0 + macs)
    assert made.cost_models()["latency_2pc"].metric.name == "latency_2pc"
    assert isinstance(made, HasCostModels)
    assert got["latency_2pc.1"] < got["latency_2pc.2"]


def test_the_test_split_is_measured_by_those_that_have_one() -> None:
    made = Members([Scored(), ReluCount(SITES)], count=2)
    assert isinstance(made, HasTestSplit)
    stored = Candidate("relu_placement", NestedPlan.decode(to_plain(PLAN)))
    found = made.evaluate_test(stored, FIDELITY, CTX)
    assert values(found) == {
        "score.1": -1.0, "score.2": -2.0, "score.worst": -2.0, "score.mean": -1.5,
    }  # fmt: skip
    assert {m.split for m in found} == {"test"}
    assert Members([ReluCount(SITES)], count=2).evaluate_test(CANDIDATE, FIDELITY, CTX) == ()


def test_from_yaml() -> None:
    config = MembersConfig.model_validate(
        {"of": ["relu_count", {"name": "cost_2pc", "table": "pasnet_fpga"}], "count": 2,
         "normalise_by": "energy_2pc"}
    )  # fmt: skip
    names = {m.name for m in Members.from_config(config, WORKLOAD).metrics}
    assert {"relu_count.worst", "energy_2pc.1", "normalised_relus.mean"} <= names


def test_errors_say_where() -> None:
    with pytest.raises(EvaluationError, match=r"has 2 members \(expected 4\)"):
        Members([Scored()]).evaluate(CANDIDATE, FIDELITY, CTX)
    single = Candidate("relu_placement", PLAN.members[0].plan)
    with pytest.raises(EvaluationError, match="has 0 members"):
        Members([Scored()]).evaluate(single, FIDELITY, CTX)
    with pytest.raises(ConfigError, match="no evaluator has a cost model for 'latency'"):
        Members([ReluCount(SITES)], sites=SITES, normalise_by="latency")
    with pytest.raises(ConfigError, match="two evaluators measure 'score'"):
        Members([Scored(), Scored()])
    wrong = MembersConfig.model_validate({"of": [{"name": "cost_2pc", "table": "nowhere"}]})
    with pytest.raises(ConfigError) as raised:
        Members.from_config(wrong, WORKLOAD)
    assert raised.value.path.startswith("of[0]")
