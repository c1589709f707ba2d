"""The evaluator with a real network, real weights and real processes."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from evaluators.mpc.spu.environment import VARIABLE
from evaluators.mpc.spu.evaluator import Spu2PC, Spu2PCConfig
from search import registry
from search.api.candidate import Candidate
from search.api.errors import ConfigError, EvaluationError, MissingExtra
from search.api.metric import Fidelity
from search.api.network import Site
from search.workloads.canonical import canonicalise
from search.workloads.data.splits import Split, Splits
from search.workloads.plan import apply_plan, save_weights
from search.workloads.sites import trace_sites
from spaces.plan import NonlinearityPlan, SiteChoice

SHAPE = (1, 6, 6)
FULL = Fidelity("full", 0)


def _split(n: int) -> Split:
    x = torch.randn(n, *SHAPE, generator=torch.Generator().manual_seed(n))
    return Split(x, (x.sum(dim=(1, 2, 3)) > 0).long())


@dataclass
class Tiny:
    """A real network and real tensors."""

    name: str = "tiny"
    data: Splits = field(
        default_factory=lambda: Splits(
            _split(4), _split(9), _split(5), 2, SHAPE, "signs", "0" * 16, (0.0,), (1.0,)
        )
    )

    def build(self, seed: int) -> nn.Module:
        torch.manual_seed(seed)
        network = nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(48, 2))
        return canonicalise(network, SHAPE)

    def sites(self) -> tuple[Site, ...]:
        return trace_sites(self.build(0), SHAPE)  # type: ignore[arg-type]


@dataclass
class Here:
    seed: int = 0
    workdir: Path = Path()
    device: str = "cpu"
    notes: dict[str, Any] = field(default_factory=dict)

    def report(self, step: int, **values: float) -> None: ...

    def note(self, name: str, value: object) -> None:
        self.notes[name] = value

    def should_stop(self) -> bool:
        return False


def candidate(workload: Tiny, folder: Path, **choice: Any) -> Candidate[NonlinearityPlan]:
    plan = NonlinearityPlan((SiteChoice("1", **choice),))
    network = apply_plan(workload.build(3), plan.as_mapping(), workload.sites())
    return Candidate("plan", plan, save_weights(network, folder / "weights.safetensors"))


@pytest.mark.spu
@pytest.mark.slow
def test_a_candidate_is_measured(tmp_path: Path) -> None:
    workload, here = Tiny(), Here()
    evaluator = Spu2PC.from_config(Spu2PCConfig(images=3, repeats=2), workload)
    found = evaluator.evaluate(candidate(workload, tmp_path, operator="x2act"), FULL, here)
    by_name = {m.metric: m for m in found}
    assert list(by_name) == [m.name for m in evaluator.metrics]
    assert {m.evidence for m in found} == {"measured"}
    assert [m.unit for m in found] == ["ms", "MB", "1", "s"]
    assert by_name["output_error_spu"].value < 1e-3
    assert by_name["spu_latency_2pc"].n == 2
    assert 0.005 < by_name["spu_bytes_2pc"].value < 0.05
    assert here.notes["spu_2pc_private_network"] in (True, False)


def test_bad_candidates_and_no_workload(tmp_path: Path) -> None:
    workload = Tiny()
    with pytest.raises(ConfigError, match="needs a network and data"):
        Spu2PC(None)
    good = candidate(workload, tmp_path, operator="relu")
    with pytest.raises(EvaluationError, match="needs trained weights"):
        Spu2PC(workload).evaluate(Candidate("plan", good.payload), FULL, Here())
    with pytest.raises(EvaluationError, match="payload of type int"):
        Spu2PC(workload).evaluate(Candidate("plan", 3, good.weights), FULL, Here())
    narrow = candidate(workload, tmp_path, operator="relu", relu_bits=12)
    with pytest.raises(EvaluationError, match="1: SPU compares in its whole ring"):
        Spu2PC(workload).evaluate(narrow, FULL, Here())


def test_absent_spu_is_said_before_the_study_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "/nonexistent/python")
    with pytest.raises(MissingExtra, match="pip install spu=="):
        Spu2PC.from_config(Spu2PCConfig(), Tiny())


def test_it_is_registered() -> None:
    assert registry.load("evaluator", "spu_2pc") is Spu2PC
