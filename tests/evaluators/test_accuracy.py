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
from search.api.protocols import HasTestSplit
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
    workload = Tiny()
    space = ReluPlacement(workload.sites())
    plan = space.build({"activation": ("x2act",)})
    network = apply_plan(workload.build(7), plan.as_mapping(), workload.sites())
    with torch.no_grad():
        for p in network.parameters():
            p.mul_(scale)
    path = save_weights(network, tmp_path / "w.safetensors")
    return Candidate(space.kind, plan, path), network


def by_hand(network: nn.Module, part: Split) -> float:
    with torch.no_grad():
        return 100.0 * (network.eval()(part.x).argmax(1) == part.y).double().mean().item()


@pytest.mark.parametrize("batch_size", [7, 256])
def test_accuracy_of_the_stored_weights_under_the_plan(tmp_path: Path, batch_size: int) -> None:
    made, network = candidate(tmp_path)
    evaluator = Accuracy.from_config(AccuracyConfig(batch_size=batch_size), Tiny())
    (found,) = evaluator.evaluate(made, Fidelity("top", 1), Here())  # type: ignore[arg-type]
    assert found.value == pytest.approx(by_hand(network, Tiny().data.validation))
    assert (found.metric, found.unit, found.evidence) == ("accuracy", "%", "measured")
    assert (found.split, found.n, found.fidelity) == ("validation", 50, "top")
    assert found.low is not None
    assert found.high is not None
    assert 0 <= found.low < found.value < found.high <= 100
    assert found.std == pytest.approx((found.value * (100 - found.value) / 50) ** 0.5)
    assert evaluator.needs == {"weights", "data"}


def test_the_test_split_is_measured_apart(tmp_path: Path) -> None:
    made, network = candidate(tmp_path)
    evaluator = Accuracy(Tiny())
    assert isinstance(evaluator, HasTestSplit)
    chosen = evaluator.evaluate(made, Fidelity("f", 0), Here())  # type: ignore[arg-type]
    assert [(m.split, m.n) for m in chosen] == [("validation", 50)]
    once = evaluator.evaluate_test(made, Fidelity("f", 0), Here())  # type: ignore[arg-type]
    assert [(m.split, m.n) for m in once] == [("test", 30)]
    assert once[0].value == pytest.approx(by_hand(network, Tiny().data.test))


def test_outputs_that_are_not_numbers_fail_the_candidate(tmp_path: Path) -> None:
    made, _ = candidate(tmp_path, scale=float("nan"))
    with pytest.raises(EvaluationError, match="NaN or infinity"):
        Accuracy(Tiny()).evaluate(made, Fidelity("f", 0), Here())  # type: ignore[arg-type]


def test_what_cannot_be_measured_says_why(tmp_path: Path) -> None:
    made, _ = candidate(tmp_path)
    for wrong, message in (
        (Candidate(made.kind, made.payload), "needs trained weights"),
        (Candidate(made.kind, {"x": 1}, made.weights), "payload of type dict"),
        (Candidate(made.kind, made.payload, tmp_path / "none"), "no such file"),
    ):
        with pytest.raises(EvaluationError, match=message):
            Accuracy(Tiny()).evaluate(wrong, Fidelity("f", 0), Here())  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="accuracy needs a network and data"):
        Accuracy.from_config(AccuracyConfig(), None)


def test_an_empty_split_has_no_accuracy(tmp_path: Path) -> None:
    made, _ = candidate(tmp_path)
    data = Tiny().data
    empty = Split(data.test.x[:0], data.test.y[:0])
    workload = Tiny(data=replace(data, validation=empty))
    with pytest.raises(EvaluationError, match="the split is empty"):
        Accuracy(workload).evaluate(made, Fidelity("f", 0), Here())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("correct", "n", "low", "high"),
    # The last row is Newcombe's worked example (Statistics in Medicine 17, 1998, 857-872).
    [(0, 10, 0.0, 0.27753), (10, 10, 0.72247, 1.0), (5, 10, 0.23659, 0.76341),
     (81, 263, 0.25529, 0.36621)],
)  # fmt: skip
def test_wilson_interval(correct: int, n: int, low: float, high: float) -> None:
    assert wilson_interval(correct, n) == pytest.approx((low, high), abs=2e-4)
