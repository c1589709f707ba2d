from __future__ import annotations

from typing import Any

import pytest

from search.api.candidate import Candidate
from search.api.errors import InfeasibleCandidate
from search.api.metric import Fidelity
from search.methods.direct import Direct, DirectConfig
from spaces.relu import ReluPlacement

RUNG = Fidelity("only", 0)


def test_it_builds_and_trains_nothing(workload: Any, recorder: Any) -> None:
    space = ReluPlacement(workload.sites())
    method = Direct.from_config(DirectConfig(), None)
    method.prepare(recorder())
    point = {"activation": ("relu", "x2act"), "pool": ("avg",)}
    made = method.produce(space, point, RUNG, recorder(), None)
    assert made == Candidate("relu_placement", space.build(point))
    assert method.params() == ()
    assert not method.decides_space


def test_a_higher_rung_keeps_the_candidate(workload: Any, recorder: Any) -> None:
    warm: Any = Candidate("relu_placement", None)
    assert Direct().produce(ReluPlacement(workload.sites()), {}, RUNG, recorder(), warm) is warm


def test_an_illegal_point(workload: Any, recorder: Any) -> None:
    with pytest.raises(InfeasibleCandidate, match="pool"):
        Direct().produce(
            ReluPlacement(workload.sites()),
            {"activation": ("relu", "relu")},
            RUNG,
            recorder(),
            None,
        )


def test_it_needs_no_torch() -> None:
    import subprocess
    import sys

    code = "import search.methods.direct, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
