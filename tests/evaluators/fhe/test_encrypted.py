"""The encrypted rung on a real, tiny network."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch

from evaluators.fhe.encrypted import CkksEncrypted, CkksEncryptedConfig
from evaluators.fhe.failures import BackendFailure
from search.api.errors import ConfigError, EvaluationError
from search.api.metric import Fidelity
from search.workloads.plan import save_weights
from spaces.ckks.params import Chain

FULL = Fidelity("full", 2)


def evaluator(workload: Any, **options: Any) -> CkksEncrypted:
    options = {"images": 4, "repeats": 2, "extreme": 2, "timeout_s": 120, **options}
    return CkksEncrypted.from_config(CkksEncryptedConfig(**options), workload)


def changed(candidate: Any, **changes: Any) -> Any:
    return dataclasses.replace(candidate, payload=dataclasses.replace(candidate.payload, **changes))


def test_every_metric_is_measured_once(
    small_squares: Any, squares_candidate: Any, here: Any
) -> None:
    one = evaluator(small_squares)
    found = {m.metric: m for m in one.evaluate(squares_candidate, FULL, here)}
    assert list(found) == [metric.name for metric in one.metrics]
    assert {m.unit for m in found.values()} == {"ms", "bit", "%", "MB"}
    assert {m.evidence for m in found.values()} == {"measured"}
    assert found["precision_ckks"].value > 7
    assert found["worst_precision_ckks"].value < found["precision_ckks"].value
    assert found["worst_precision_ckks"].n == 4 + 2 * 2  # extreme inputs under both keys
    assert found["agreement_ckks"].value == 100
    assert 0 < found["server_latency_ckks"].value < found["latency_ckks"].value
    assert found["latency_ckks"].n == 4
    assert found["memory_ckks"].value > 20
    stages = [row["stage"] for row in here.notes["ckks_stages"]]
    assert stages[0] == "encrypt"
    assert stages[-1] == "decrypt"
    assert len(stages) == 7
    assert here.notes["ckks_cpu_ms"] > 0


def test_an_overflow_is_no_result(
    small_squares: Any, squares_candidate: Any, here: Any, tmp_path: Path
) -> None:
    # Large outputs in 3 of 2048 slots are still large coefficients, and the first prime has 5 bits
    # above the scale: they wrap around.
    network = small_squares.build(5)
    with torch.no_grad():
        list(network.parameters())[-2].mul_(2.0**20)
    loud = dataclasses.replace(
        changed(squares_candidate, chain=Chain(31, (26,) * 5, (48,))),
        weights=save_weights(network, tmp_path / "loud.safetensors"),
    )
    with pytest.raises(BackendFailure, match="bits on average") as failure:
        evaluator(small_squares, floor_bits=-8).evaluate(loud, FULL, here)
    assert failure.value.kind == "imprecise"
    roomy = changed(loud, chain=Chain(44, (26,) * 5, (56,)))
    assert evaluator(small_squares, floor_bits=-8).evaluate(roomy, FULL, here)


def test_floors_are_options(small_squares: Any, squares_candidate: Any, here: Any) -> None:
    with pytest.raises(BackendFailure, match="expected at least 30"):
        evaluator(small_squares, floor_bits=30).evaluate(squares_candidate, FULL, here)


def test_too_few_levels_are_said(small_squares: Any, squares_candidate: Any, here: Any) -> None:
    short = changed(squares_candidate, chain=Chain(35, (26,) * 4, (48,)))
    with pytest.raises(BackendFailure, match="5 levels") as failure:
        evaluator(small_squares).evaluate(short, FULL, here)
    assert failure.value.kind == "depth"


def test_processor_time_is_an_option(small_squares: Any, squares_candidate: Any, here: Any) -> None:
    one = evaluator(small_squares, clock="cpu", repeats=1, extreme=0, images=2, processes=2)
    found = {m.metric: m for m in one.evaluate(squares_candidate, FULL, here)}
    assert found["latency_ckks"].value == pytest.approx(here.notes["ckks_cpu_ms"], rel=0.5)


def test_a_stop_is_heard(small_squares: Any, squares_candidate: Any, here: Any) -> None:
    here.stop = True
    with pytest.raises(EvaluationError, match="stopped"):
        evaluator(small_squares).evaluate(squares_candidate, FULL, here)


def test_without_a_workload_there_is_nothing_to_run() -> None:
    with pytest.raises(ConfigError, match="ckks_encrypted"):
        CkksEncrypted(None)
