"""What a plugin can do is told by its members: the optional protocols are checked at run time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from search.api import protocols
from search.api.domain import Integer, Param
from search.api.metric import Metric
from search.api.network import Site, fixed_work
from search.api.protocols import (
    ChecksSpace,
    Configurable,
    CostModel,
    Decodes,
    HasCostModels,
    HasTestSplit,
    HasUsage,
    Repairing,
    Synthesises,
    UsesCostModels,
)

ACT = Site("act", "activation", "relu", (4,), (4,))

OPTIONAL = {
    Configurable: {"Config", "from_config"},
    Repairing: {"repair"},
    HasUsage: {"usage"},
    HasCostModels: {"cost_models"},
    UsesCostModels: {"use_cost_models"},
    ChecksSpace: {"check_space"},
    Synthesises: {"synthesise"},
    HasTestSplit: {"evaluate_test"},
    Decodes: {"decode"},
}


def having(names: set[str]) -> object:
    """An object with methods of these names and nothing else."""
    return type("Some", (), {name: lambda self, *a: None for name in names})()


@pytest.mark.parametrize("protocol", OPTIONAL, ids=lambda p: p.__name__)
def test_an_optional_protocol_is_its_members(protocol: Any) -> None:
    needed = OPTIONAL[protocol]
    assert isinstance(having(needed), protocol)
    assert not isinstance(having({"params", "check"}), protocol)
    for name in needed:
        assert not isinstance(having(needed - {name}), protocol)


def test_every_protocol_checked_at_run_time_is_covered() -> None:
    found = {
        p for p in vars(protocols).values()
        if getattr(p, "_is_runtime_protocol", False) and p.__module__ == protocols.__name__
    }  # fmt: skip
    assert found == set(OPTIONAL)


@pytest.mark.parametrize(
    "name", ["Space", "Method", "Evaluator", "Runner", "Workload", "JobSource", "WorkerSpec"]
)
def test_required_protocols_are_no_run_time_checks(name: str) -> None:
    """Members are properties, and isinstance would evaluate them: cost without meaning."""
    with pytest.raises(TypeError, match="runtime_checkable"):
        isinstance(object(), getattr(protocols, name))


def test_the_shipped_plugins_say_what_they_can() -> None:
    from evaluators.counts import ReluCount
    from evaluators.mpc.cost_2pc import Cost2PC
    from spaces.parameters import ParameterSpace
    from spaces.relu import ReluPlacement

    placement = ReluPlacement([ACT])
    assert all(isinstance(placement, p) for p in (HasUsage, Decodes, Repairing))
    assert isinstance(Cost2PC([ACT]), HasCostModels)
    assert not isinstance(ParameterSpace([Param("x", Integer(0, 1))]), HasUsage)
    assert all(isinstance(c, Configurable) for c in (ReluCount, Cost2PC, ReluPlacement))


class Linear:
    """A minimal conforming cost model: inherits nothing."""

    metric = Metric("cost", "ms", "min", "per element")

    def cost(self, usage: Any) -> Any:
        return sum(work.elements for work in usage)

    def breakdown(self, usage: Any) -> Mapping[str, float]:
        return {work.site: work.elements for work in usage}


class Charges:
    """A minimal method with a cost term."""

    models: Mapping[str, CostModel] = {}

    def use_cost_models(self, models: Mapping[str, CostModel]) -> None:
        self.models = models


def test_a_class_of_ones_own_serves_without_inheritance() -> None:
    method = Charges()
    assert isinstance(method, UsesCostModels)
    method.use_cost_models({"cost": Linear()})
    usage = [fixed_work(ACT)]
    assert method.models["cost"].cost(usage) == 4
    assert method.models["cost"].breakdown(usage) == {"act": 4}
