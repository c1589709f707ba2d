from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from search.api.candidate import Candidate
from search.api.errors import ConfigError, InfeasibleCandidate
from search.api.exporting import SharesWeights
from search.api.metric import Fidelity
from search.methods.pretrained import Pretrained, PretrainedConfig
from search.methods.teacher import load_teacher
from search.workloads.plan import load_weights
from spaces.relu import ReluPlacement

RUNG = Fidelity("only", 0)
POINT = {"activation": ("relu", "relu"), "pool": ("max",)}


def test_every_point_has_the_teachers_weights(workload: Any, recorder: Any) -> None:
    import torch

    space = ReluPlacement(workload.sites())
    method = Pretrained.from_config(PretrainedConfig(), workload)
    method.prepare(recorder())
    made = method.produce(space, POINT, RUNG, recorder(), None)
    assert (made.kind, made.payload) == ("relu_placement", space.build(POINT))
    assert made.weights is not None
    network = load_weights(workload.build(7), made.weights).eval()
    x = workload.data.validation.x[:4]
    teacher = load_teacher(workload, recorder()).network
    with torch.no_grad():
        assert torch.equal(network(x), teacher(x))
    assert method.params() == ()
    assert not method.decides_space


def test_a_worker_that_was_not_prepared_finds_or_makes_them(workload: Any, recorder: Any) -> None:
    made = Pretrained(workload).produce(
        ReluPlacement(workload.sites()), POINT, RUNG, recorder(), None
    )
    assert made.weights is not None
    assert made.weights.is_file()


def test_a_higher_rung_keeps_the_candidate(workload: Any, recorder: Any) -> None:
    warm: Any = Candidate("relu_placement", None)
    space = ReluPlacement(workload.sites())
    assert Pretrained(workload).produce(space, {}, RUNG, recorder(), warm) is warm


def test_an_illegal_point(workload: Any, recorder: Any) -> None:
    with pytest.raises(InfeasibleCandidate, match="pool"):
        Pretrained(workload).produce(
            ReluPlacement(workload.sites()), {"activation": ("relu",) * 2}, RUNG, recorder(), None
        )


def test_it_needs_a_workload() -> None:
    with pytest.raises(ConfigError, match="pretrained needs a network"):
        Pretrained(None)


def test_it_loads_no_torch() -> None:
    import subprocess
    import sys

    code = "import search.methods.pretrained, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_it_tells_where_the_weights_of_all_trials_are(workload: Any, recorder: Any) -> None:
    method = Pretrained(workload)
    assert isinstance(method, SharesWeights)
    made = method.produce(ReluPlacement(workload.sites()), POINT, RUNG, recorder(), None)
    assert method.shared_weights() == made.weights


def test_weights_that_were_not_trained_or_are_gone(
    workload: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CIPHER_SEARCH_CACHE", str(tmp_path))
    assert Pretrained(workload).shared_weights() is None
    assert not list(tmp_path.rglob("*.safetensors"))
