import pytest

from evaluators.counts import ReluCount, ReluCountConfig
from search.api.candidate import Candidate
from search.api.metric import Fidelity
from search.api.network import Site, Work
from search.api.protocols import HasCostModels
from spaces.relu import ReluPlacement

SITES = (
    Site("conv", "conv", "conv", (1, 4, 4), (2, 4, 4), macs=288),
    Site("relu1", "activation", "relu", (2, 4, 4), (2, 4, 4)),
    Site("pool", "pool", "maxpool", (2, 4, 4), (2, 2, 2)),
    Site("relu2", "activation", "relu", (2, 2, 2), (2, 2, 2)),
)


class Network:
    def sites(self) -> tuple[Site, ...]:
        return SITES


def evaluate(activation: tuple[str, ...], pool: str) -> dict[str, tuple[float, str, str]]:
    space = ReluPlacement(SITES)
    plan = space.build({"activation": activation, "pool": (pool,)})
    evaluator = ReluCount.from_config(ReluCountConfig(), Network())
    found = evaluator.evaluate(Candidate(space.kind, plan), Fidelity("f", 0), None)  # type: ignore[arg-type]
    assert [m.metric for m in found] == [m.name for m in evaluator.metrics]
    return {m.metric: (m.value, m.unit, m.evidence) for m in found}


def test_relus_and_max_pools_are_counted_apart() -> None:
    assert evaluate(("relu", "relu"), "max") == {
        "relu_count": (40.0, "1", "bound"), "maxpool_count": (32.0, "1", "bound")
    }  # fmt: skip
    assert evaluate(("x2act", "relu"), "avg")["relu_count"][0] == 8.0
    assert evaluate(("x2act", "relu"), "avg")["maxpool_count"][0] == 0.0


def test_it_needs_nothing_and_lends_its_cost_models() -> None:
    evaluator = ReluCount(SITES)
    assert isinstance(evaluator, HasCostModels)
    assert evaluator.needs == frozenset()
    usage = [Work("a", "relu", 0.5, 20.0, 20.0, 0.0), Work("b", "anything", 1.0, 9.0, 9.0, 9.0)]
    model = evaluator.cost_models()["relu_count"]
    assert model.cost(usage) == 20.0
    assert model.breakdown(usage) == {"a": 20.0, "b": 0.0}
    assert model.metric.unit == "1"


def test_options_are_refused() -> None:
    with pytest.raises(ValueError, match="extra"):
        ReluCountConfig(relu=1)
