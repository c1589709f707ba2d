"""The predicted rung on a real, tiny network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from evaluators.fhe.calibration import learn
from evaluators.fhe.encrypted import CkksEncrypted, CkksEncryptedConfig
from evaluators.fhe.predicted import CkksPredicted, CkksPredictedConfig
from search.api.errors import ConfigError
from search.api.metric import Fidelity

RUNG = Fidelity("predicted", 1)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No calibration and no corrections but the test's own."""
    monkeypatch.setenv("CIPHER_SEARCH_CACHE", str(tmp_path))
    return tmp_path


def evaluator(workload: Any, **options: Any) -> CkksPredicted:
    return CkksPredicted.from_config(CkksPredictedConfig(**options), workload)


def values(one: CkksPredicted, candidate: Any, ctx: Any) -> dict[str, float]:
    return {m.metric: m.value for m in one.evaluate(candidate, RUNG, ctx)}


def test_every_metric_is_predicted_once(
    small_squares: Any, squares_candidate: Any, here: Any
) -> None:
    one = evaluator(small_squares)
    found = {m.metric: m for m in one.evaluate(squares_candidate, RUNG, here)}
    assert list(found) == [metric.name for metric in one.metrics]
    assert found["predicted_precision"].evidence == "model"
    assert found["approximation_error"].evidence == "simulated"
    assert found["approximation_error"].value < 1e-9  # its squares are its own
    server, total = found["predicted_server_ms"].value, found["predicted_latency_ckks"].value
    assert 0 < server < total
    assert found["predicted_worst_precision"].value < found["predicted_precision"].value
    stages = here.notes["ckks_predicted"]["stages"]
    assert sum(row["ms"] for row in stages) == pytest.approx(total, rel=1e-2)
    assert sum(row["share"] for row in stages) == pytest.approx(1, abs=0.01)
    assert sum(row["error_share"] for row in stages) == pytest.approx(1, abs=0.01)
    assert stages[0]["place"] == "client"
    server = [row for row in stages if row["place"] == "server"]
    assert server[0]["limbs_in"] == squares_candidate.payload.chain.limbs
    assert server[-1]["limbs_out"] == 1
    dropped = [row["limbs_in"] - row["limbs_out"] for row in server]
    assert sum(dropped) == len(squares_candidate.payload.chain.levels)
    assert {row["scale_in"] for row in server if row["kind"] == "linear"} >= {
        float(squares_candidate.payload.scale)
    }
    assert "not of this host" in one.metrics[0].source


def test_precision_is_that_of_an_encrypted_run(
    small_squares: Any, squares_candidate: Any, here: Any
) -> None:
    predicted = values(evaluator(small_squares, images=4), squares_candidate, here)
    config = CkksEncryptedConfig(images=4, repeats=3, extreme=2, timeout_s=120)
    run = CkksEncrypted(small_squares, config).evaluate(squares_candidate, RUNG, here)
    measured = {m.metric: m.value for m in run}
    assert predicted["predicted_precision"] == pytest.approx(measured["precision_ckks"], abs=1.3)
    assert predicted["predicted_worst_precision"] == pytest.approx(
        measured["worst_precision_ckks"], abs=2.0
    )


def test_simulation_is_marked_and_near_the_model(
    small_squares: Any, squares_candidate: Any, here: Any
) -> None:
    model = values(evaluator(small_squares), squares_candidate, here)
    one = evaluator(small_squares, method="simulation", repeats=4)
    drawn = {m.metric: m for m in one.evaluate(squares_candidate, RUNG, here)}
    assert drawn["predicted_precision"].evidence == "simulated"
    assert drawn["predicted_latency_ckks"].evidence == "model"
    assert drawn["predicted_precision"].value == pytest.approx(
        model["predicted_precision"], abs=0.8
    )


def test_what_encrypted_runs_taught_is_applied_unless_refused(
    small_squares: Any, squares_candidate: Any, here: Any
) -> None:
    before = values(evaluator(small_squares), squares_candidate, here)
    learn((100.0, 12.0), (150.0, 11.0))
    one = evaluator(small_squares)
    after = values(one, squares_candidate, here)
    assert after["predicted_server_ms"] == pytest.approx(1.5 * before["predicted_server_ms"])
    assert after["predicted_precision"] == pytest.approx(before["predicted_precision"] - 1)
    assert "1 encrypted runs" in one.metrics[0].source
    assert values(evaluator(small_squares, learnt=False), squares_candidate, here) == before


def test_orion_has_other_times_and_more_noise(
    small_squares: Any, squares_candidate: Any, here: Any
) -> None:
    own = values(evaluator(small_squares), squares_candidate, here)
    other = values(evaluator(small_squares, back_end="orion"), squares_candidate, here)
    assert other["predicted_server_ms"] != own["predicted_server_ms"]
    assert other["predicted_precision"] < own["predicted_precision"] + 0.1


def test_wrong_configurations_are_named(small_squares: Any) -> None:
    with pytest.raises(ConfigError, match="ckks_predicted needs a network and data"):
        evaluator(None)
    with pytest.raises(ConfigError, match="search calibrate ckks"):
        evaluator(small_squares, calibration="missing.json")
