from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from evaluators.device.device_cost import DeviceCost, DeviceCostConfig
from evaluators.members import Members
from search.api.candidate import Candidate
from search.api.errors import ConfigError, EvaluationError, InfeasibleCandidate
from search.api.metric import Fidelity
from search.api.network import Site
from spaces.eve.device.cost import mode_cost
from spaces.eve.device.table import load_profile
from spaces.eve.family import Execution, LayerMode, ModeFamily, ModePlan

SITES = (
    Site("conv", "conv", "conv", (8, 8, 8), (16, 8, 8), 73_728, 1152,
         {"kernel": 3, "stride": 1, "padding": 1, "groups": 1}),
    Site("relu", "activation", "relu", (16, 8, 8), (16, 8, 8)),
)  # fmt: skip
WORKLOAD = SimpleNamespace(sites=lambda: SITES)
FIDELITY, CTX = Fidelity("top", 0), SimpleNamespace()


def mode(level: int, kept: int, rows: int = 8, batch: int = 1) -> ModePlan:
    execution = Execution(rows, rows, 2, 8, "reuse_I", batch)
    return ModePlan(level, (LayerMode("conv", "pattern", kept, 9, execution),), 16)


def evaluated(payload: Any, **options: Any) -> dict[str, Any]:
    evaluator = DeviceCost.from_config(DeviceCostConfig(**options), WORKLOAD)
    found = evaluator.evaluate(Candidate("eve", payload), FIDELITY, CTX)  # type: ignore[arg-type]
    return {m.metric: m for m in found}


def test_the_four_metrics_are_the_model() -> None:
    found = evaluated(mode(1, 9))
    cost = mode_cost(SITES, mode(1, 9), load_profile("external_fram"))
    assert found["latency_device"].value == pytest.approx(cost.latency_s)
    assert found["energy_device"].value == pytest.approx(1e3 * cost.energy_j)
    assert found["power_cycles"].value == cost.power_cycles
    assert found["sram_bytes"].value == cost.sram_bytes
    assert {m.evidence for m in found.values()} == {"model"}
    assert [found[n].unit for n in ("latency_device", "energy_device")] == ["s", "mJ"]


def test_options() -> None:
    plain, fed = evaluated(mode(1, 9)), evaluated(mode(1, 9), power_mw=1.0)
    assert fed["latency_device"].value == pytest.approx(fed["energy_device"].value)
    assert fed["latency_device"].value != plain["latency_device"].value
    inside = evaluated(mode(1, 9), profile="onchip_fram")
    assert inside["energy_device"].value < plain["energy_device"].value
    with pytest.raises(ConfigError, match="unknown device profile"):
        evaluated(mode(1, 9), profile="mine")


def test_members_of_a_family() -> None:
    members = Members([DeviceCost(SITES, load_profile("onchip_fram"))], count=2)
    family = Candidate("eve", ModeFamily((mode(1, 3), mode(2, 9))))
    found = {m.metric: m.value for m in members.evaluate(family, FIDELITY, CTX)}  # type: ignore[arg-type]
    assert found["latency_device.1"] < found["latency_device.2"] == found["latency_device.worst"]


def test_what_cannot_be_scored() -> None:
    with pytest.raises(EvaluationError, match="members"):
        evaluated(ModeFamily((mode(1, 9),)))
    with pytest.raises(InfeasibleCandidate, match="energy_per_power_cycle"):
        evaluated(mode(1, 9, batch=8))
