from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import nn

from evaluators.device.integer_accuracy import IntegerAccuracy, IntegerAccuracyConfig
from evaluators.members import Members
from search.api.candidate import Candidate
from search.api.errors import ConfigError, EvaluationError
from search.api.metric import Fidelity
from search.api.protocols import HasTestSplit
from search.workloads.canonical import canonicalise
from search.workloads.data.splits import Split, Splits
from search.workloads.nested import NestedWeights, private_state, save_nested, shared_weights
from spaces.eve.family import Execution, LayerMode, ModeFamily, ModePlan

SHAPE = (1, 2, 2)
TOP = Fidelity("top", 1)


def split(n: int, seed: int) -> Split:
    x = torch.randn(n, *SHAPE, generator=torch.Generator().manual_seed(seed))
    return Split(x, (x.sum(dim=(1, 2, 3)) > 0).long())


class Tiny:
    """A real network and real tensors."""

    def __init__(self) -> None:
        self.data = Splits(
            split(20, 0), split(50, 1), split(30, 2), 2, SHAPE, "signs", "0" * 16, (0.0,), (1.0,)
        )

    def build(self, seed: int) -> nn.Module:
        torch.manual_seed(seed)
        network = nn.Sequential(nn.Flatten(), nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 2))
        return canonicalise(network, SHAPE)


@dataclass
class Here:
    seed: int = 0
    workdir: Path = Path()
    device: str = "cpu"


FAMILY = ModeFamily(
    tuple(ModePlan(k, (LayerMode("1", "filter", 2, 6, Execution(1, 1, 2, 4)),), 8) for k in (1, 2))
)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    network = Tiny().build(3)
    shared = {n: w.detach() for n, w in shared_weights(network).items()}
    levels = {n: 1 + (w < 0).to(torch.uint8) for n, w in shared.items()}
    own = private_state(network)
    return save_nested(NestedWeights((0.5, 1.0), shared, levels, {}, (own, own)), tmp_path / "w")


def mode(level: int, weights: Path | None) -> Candidate[ModePlan]:
    return Candidate("eve", FAMILY.members[level - 1], weights)


@pytest.mark.parametrize("batch_size", [7, 256])
def test_accuracy_is_that_of_the_integers(weights: Path, batch_size: int) -> None:
    from evaluators.device.integer_family import IntegerOptions, family_for

    evaluator = IntegerAccuracy.from_config(IntegerAccuracyConfig(batch_size=batch_size), Tiny())
    family = family_for(Tiny(), FAMILY, weights, IntegerOptions())
    values = []
    for level in (1, 2):
        (found,) = evaluator.evaluate(mode(level, weights), TOP, Here())  # type: ignore[arg-type]
        part = Tiny().data.validation
        outputs = family.run(level, family.quantise(part.x)).tolist()
        right = sum(
            row.index(max(row)) == label
            for row, label in zip(outputs, part.y.tolist(), strict=True)
        )
        assert found.value == pytest.approx(100 * right / 50)
        assert (found.metric, found.unit, found.evidence) == ("integer_accuracy", "%", "simulated")
        assert (found.split, found.n) == ("validation", 50)
        values.append(found.value)
    assert values[0] != values[1]


def test_the_test_split_and_fewer_images(weights: Path) -> None:
    evaluator = IntegerAccuracy(Tiny(), images=10)
    assert isinstance(evaluator, HasTestSplit)
    (found,) = evaluator.evaluate_test(mode(2, weights), TOP, Here())  # type: ignore[arg-type]
    assert (found.split, found.n) == ("test", 10)


def test_every_mode_inside_members(weights: Path) -> None:
    family: Candidate[ModeFamily] = Candidate("eve", FAMILY, weights)
    found = Members([IntegerAccuracy(Tiny())], count=2).evaluate(family, TOP, Here())  # type: ignore[arg-type]
    names = {m.metric: m.value for m in found}
    assert set(names) == {f"integer_accuracy.{w}" for w in ("1", "2", "worst", "mean")}
    assert names["integer_accuracy.worst"] == min(
        names["integer_accuracy.1"], names["integer_accuracy.2"]
    )


def test_what_cannot_be_measured_is_told(weights: Path) -> None:
    evaluator = IntegerAccuracy(Tiny())
    with pytest.raises(EvaluationError, match="needs trained weights"):
        evaluator.evaluate(mode(1, None), TOP, Here())  # type: ignore[arg-type]
    family: Candidate[ModeFamily] = Candidate("eve", FAMILY, weights)
    with pytest.raises(EvaluationError, match="members"):
        evaluator.evaluate(family, TOP, Here())  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="integer_accuracy needs"):
        IntegerAccuracy(None)
