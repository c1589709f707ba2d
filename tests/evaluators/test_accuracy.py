from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
import torch
from torch import nn

from evaluators.accuracy import Accuracy, AccuracyConfig, wilson_interval
from search.api.candidate import Candidate
from search.api.errors import ConfigError, EvaluationError
from search.api.metric import Fidelity
from search.api.network import Site
from search.workloads.canonical import canonicalise
from search.workloads.data.splits import Split, Splits
from search.workloads.plan import apply_plan, save_weights
from search.workloads.sites import trace_sites
from spaces.relu import NonlinearityPlan, ReluPlacement

SHAPE = (1, 2, 2)


def split(n: int, seed: int) -> Split:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, *SHAPE, generator=generator)
    return Split(x, (x.sum(dim=(1, 2, 3)) > 0).long())


@dataclass
class Tiny:
    """A real network and real tensors, small enough to reckon by hand."""

    name: str = "tiny"
    data: Splits = field(
        default_factory=lambda: Splits(
            split(8, 0), split(50, 1), split(30, 2), 2, SHAPE, "signs", "0" * 16, (0.0,), (1.0,)
        )
    )

    def build(self, seed: int) -> nn.Module:
        torch.manual_seed(seed)
        network = nn.Sequential(nn.Flatten(), nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2))
        return canonicalise(network, SHAPE)

    def sites(self) -> tuple[Site, ...]:
        return trace_sites(self.build(0), SHAPE)  # type: ignore[arg-type]


@dataclass
class Here:
    seed: int = 0
    workdir: Path = Path()
    device: str = "cpu"


def candidate(tmp_path: Path, scale: float = 1.0) -> tuple[Candidate[NonlinearityPlan], nn.Module]:
    workload = Tiny(data=replace(data, validation=empty))
    with pytest.raises(EvaluationError, match="the split is empty"):
        Accuracy(workload).evaluate(made, Fidelity("f", 0), Here())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("correct", "n", "low", "high"),
    # Checked against tables of the score interval.
    [(0, 10, 0.0, 0.27753), (10, 10, 0.72247, 1.0), (5, 10, 0.23659, 0.76341),
     (81, 263, 0.25529, 0.36621)],
)  # fmt: skip
def test_wilson_interval(correct: int, n: int, low: float, high: float) -> None:
    assert wilson_interval(correct, n) == pytest.approx((low, high), abs=2e-4)
