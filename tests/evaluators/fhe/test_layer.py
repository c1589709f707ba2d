"""The rung that encrypts one block."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from evaluators.fhe.calibration import corrections
from evaluators.fhe.failures import BackendFailure
from evaluators.fhe.layer import CkksLayer, CkksLayerConfig
from search.api.errors import ConfigError
from search.api.metric import Fidelity
from spaces.ckks.params import Chain

FULL = Fidelity("layer", 1)


@pytest.fixture(autouse=True)
def own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CIPHER_SEARCH_CACHE", str(tmp_path))


def test_the_block_is_measured_and_compared_with_the_models(
    small_squares: Any, squares_candidate: Any, here: Any
) -> None:
    one = CkksLayer.from_config(CkksLayerConfig(), small_squares)
    found = {m.metric: m for m in one.evaluate(squares_candidate, FULL, here)}
    assert list(found) == [metric.name for metric in one.metrics]
    assert {m.evidence for m in found.values()} == {"measured"}
    assert len(here.notes["ckks_block"]) == 2  # a linear map and its square
    assert found["layer_latency_ckks"].value > 0
    assert 0.2 < found["layer_latency_ratio"].value < 8  # machines and their load differ
    assert found["layer_precision_ckks"].value > 8
    assert abs(found["layer_precision_gap"].value) < 2.5
    learnt = corrections()
    assert learnt.runs == 1
    assert learnt.latency == pytest.approx(found["layer_latency_ratio"].value)
    assert learnt.bits == pytest.approx(found["layer_precision_gap"].value)


def test_learning_is_an_option(small_squares: Any, squares_candidate: Any, here: Any) -> None:
    CkksLayer(small_squares, CkksLayerConfig(learn=False)).evaluate(squares_candidate, FULL, here)
    assert corrections().runs == 0


def test_a_block_below_the_floor_is_no_result(
    small_squares: Any, squares_candidate: Any, here: Any
) -> None:
    with pytest.raises(BackendFailure, match="expected at least 40") as failure:
        CkksLayer(small_squares, CkksLayerConfig(floor_bits=40)).evaluate(
            squares_candidate, FULL, here
        )
    assert failure.value.kind == "imprecise"
    assert corrections().runs == 0


def test_missing_primes_are_said(small_squares: Any, squares_candidate: Any, here: Any) -> None:
    few = dataclasses.replace(squares_candidate.payload, chain=Chain(35, (15,) * 30, (48,)))
    with pytest.raises(BackendFailure) as failure:
        CkksLayer(small_squares).evaluate(
            dataclasses.replace(squares_candidate, payload=few), FULL, here
        )
    assert failure.value.kind == "no_primes"


def test_without_a_workload_there_is_nothing_to_run() -> None:
    with pytest.raises(ConfigError, match="ckks_layer"):
        CkksLayer(None)
