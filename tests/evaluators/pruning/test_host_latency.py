from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from evaluators.pruning.host_latency import HostLatency, HostLatencyConfig
from search.api.candidate import Candidate
from search.api.errors import ConfigError, EvaluationError
from search.api.metric import Fidelity, Measurement
from search.workloads.image import ImageClassification
from search.workloads.plan import apply_plan, network_of, save_weights
from search.workloads.pruning.shrink import mac_count, parameter_count, shrink
from spaces.relu import ReluPlacement

Pruned = Callable[..., Candidate[Any]]


@dataclass
class Here:
    seed: int = 0
    workdir: Path = Path()
    device: str = "cpu"


def measured(evaluator: HostLatency, candidate: Candidate[Any]) -> dict[str, Measurement]:
    found = evaluator.evaluate(candidate, Fidelity("top", 1), Here())  # type: ignore[arg-type]
    assert [m.metric for m in found] != []
    assert {m.metric for m in found} == {m.name for m in evaluator.metrics}
    units = {m.name: m.unit for m in evaluator.metrics}
    assert all(m.unit == units[m.metric] and m.fidelity == "top" for m in found)
    return {m.metric: m for m in found}


def test_latency_and_counts_of_the_smaller_network(
    workload: ImageClassification, pruned: Pruned
) -> None:
    candidate = pruned()
    config = HostLatencyConfig(repeats=7, shortest_ms=0.0, relative=True, clock="cpu")
    threads = torch.get_num_threads()
    found = measured(HostLatency.from_config(config, workload), candidate)
    assert torch.get_num_threads() == threads
    latency = found["latency_host"]
    assert (latency.evidence, latency.n, latency.unit) == ("measured", 7, "ms")
    assert latency.low is not None
    assert latency.high is not None
    assert 0 < latency.low <= latency.value <= latency.high
    assert found["speedup_host"].value > 0
    assert candidate.weights is not None
    dense = network_of(workload, candidate.payload, candidate.weights)
    shape = workload.input_shape
    small = shrink(dense, shape)  # type: ignore[arg-type]
    assert found["parameters_left"].value == parameter_count(small) < parameter_count(dense)
    assert found["macs_structured"].value == mac_count(small, shape)
    assert found["macs_structured"].evidence == found["parameters_left"].evidence == "bound"
    # By hand: filters whose bias is below zero go, and channels with them.
    assert small.get_submodule("conv2").weight.shape[:2] == (9, 6)


def test_counts_alone_need_no_backend(workload: ImageClassification, pruned: Pruned) -> None:
    found = measured(HostLatency(workload, HostLatencyConfig(backends=())), pruned())
    assert set(found) == {"parameters_left", "macs_structured"}


def test_other_plans_are_measured_too(workload: ImageClassification, tmp_path: Path) -> None:
    plan = ReluPlacement(workload.sites()).build(
        {"activation": ("x2act", "relu"), "pool": ("max", "avg")}
    )
    network = apply_plan(workload.build(0), plan.as_mapping(), workload.sites())
    made = Candidate("relu_plan", plan, save_weights(network, tmp_path / "w.safetensors"))
    found = measured(HostLatency(workload, HostLatencyConfig(repeats=3, shortest_ms=0)), made)
    assert found["parameters_left"].value == parameter_count(network)


@pytest.mark.slow
def test_onnx_runtime_runs_the_smaller_network(
    workload: ImageClassification, pruned: Pruned
) -> None:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    config = HostLatencyConfig(
        backends=("onnxruntime",), batch_size=2, repeats=5, shortest_ms=0, relative=True
    )
    found = measured(HostLatency(workload, config), pruned())
    assert found["latency_onnx"].value > 0
    assert found["speedup_onnx"].n == 5


def test_what_is_wrong_is_told(workload: ImageClassification, pruned: Pruned) -> None:
    with pytest.raises(ConfigError, match="needs a network"):
        HostLatency(None)
    with pytest.raises(ValidationError, match="each backend once"):
        HostLatencyConfig(backends=("torch", "torch"))
    bare = Candidate("pruning_ratio", pruned().payload)
    with pytest.raises(EvaluationError, match="needs trained weights"):
        HostLatency(workload).evaluate(bare, Fidelity("top", 1), Here())  # type: ignore[arg-type]
