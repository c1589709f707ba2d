from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from evaluators.accuracy import count_correct
from evaluators.device.harvest import Harvest, HarvestConfig
from evaluators.trained import trained_network
from search.api.candidate import Candidate
from search.api.errors import ConfigError, EvaluationError, InfeasibleCandidate
from search.api.metric import Fidelity
from search.workloads.canonical import canonicalise
from search.workloads.data.splits import Split
from search.workloads.nested import NestedWeights, private_state, save_nested, shared_weights
from search.workloads.networks.small import tiny_cnn
from search.workloads.sites import trace_sites
from spaces.eve.family import Execution, LayerMode, ModeFamily, ModePlan

SHAPE = (1, 14, 14)
NOTES: dict[str, Any] = {}
CTX: Any = SimpleNamespace(device="cpu", seed=0, note=NOTES.__setitem__)
FIDELITY = Fidelity("top", 0)


def network(seed: int = 0) -> torch.nn.Module:
    torch.manual_seed(seed)
    return canonicalise(tiny_cnn(SHAPE, 10, widths=(16, 32)), SHAPE)


class Tiny:
    """A workload of random images whose labels an untrained network gives, but for some."""

    def __init__(self) -> None:
        self._sites = trace_sites(network(), SHAPE)  # type: ignore[arg-type]
        parts = {}
        for k, name in enumerate(("validation", "test")):
            x = torch.randn(60, *SHAPE, generator=torch.Generator().manual_seed(k))
            with torch.no_grad():
                y = network().eval()(x).argmax(dim=1)
            y[: 6 * (k + 1)] = 9 - y[: 6 * (k + 1)]
            parts[name] = Split(x, y)
        self.data = SimpleNamespace(**parts)

    def sites(self) -> Any:
        return self._sites

    def build(self, seed: int) -> torch.nn.Module:
        return network(seed)


def family(tile: tuple[int, int, int] = (7, 7, 1)) -> ModeFamily:
    modes = []
    for level, kept in enumerate((3, 5, 9), start=1):
        layers = [
            LayerMode(name, "pattern", kept, 9, Execution(*tile, n, "reuse_W"))
            for name, n in (("conv1", 1), ("conv2", 16))
        ]
        last = Execution(1, 1, 10, 32, "reuse_O")
        layers.append(LayerMode("classifier", "block", 90, 90, last))
        modes.append(ModePlan(level, tuple(layers), 16))
    return ModeFamily(tuple(modes))


@pytest.fixture(scope="module")
def workload() -> Tiny:
    return Tiny()


@pytest.fixture(scope="module")
def candidate(tmp_path_factory: pytest.TempPathFactory) -> Candidate[ModeFamily]:
    """The untrained network as densest mode; sparser ones drop kernel positions."""
    made = network()
    shared = {n: p.detach().clone() for n, p in shared_weights(made).items()}
    levels = {}
    for name, value in shared.items():
        level = torch.ones_like(value, dtype=torch.uint8)
        if value.dim() == 4:
            flat = level.view(*value.shape[:2], 9)
            flat[..., 3:5], flat[..., 5:] = 2, 3
        levels[name] = level
    private = private_state(made)
    nested = NestedWeights((0.3, 0.5, 1.0), shared, levels, {}, (private,) * 3)
    path = save_nested(nested, tmp_path_factory.mktemp("weights") / "family.safetensors")
    return Candidate("eve", family(), path)


def evaluated(
    workload: Tiny, candidate: Candidate[Any], *, test: bool = False, **options: Any
) -> dict[str, Any]:
    given = {"deadline_s": 12.0, "requests": 30, "draws": 2, "profile": "onchip_fram"} | options
    harvest = Harvest.from_config(HarvestConfig(**given), workload)
    run = harvest.evaluate_test if test else harvest.evaluate
    found = run(candidate, FIDELITY, CTX)
    assert [m.metric for m in found if "." not in m.metric] == [
        m.name for m in harvest.metrics if "." not in m.name
    ]
    assert {m.metric for m in found} == {m.name for m in harvest.metrics}
    return {m.metric: m for m in found}


def test_accuracies_and_deadlines(workload: Tiny, candidate: Candidate[ModeFamily]) -> None:
    found = evaluated(workload, candidate)
    assert len(found) == 16
    assert {m.evidence for m in found.values()} == {"simulated"}
    mean = sum(found[f"deadline_accuracy.{t}"].value for t in NOTES["harvest"]) / 3
    assert found["deadline_accuracy"].value == pytest.approx(mean)
    for trace, told in NOTES["harvest"].items():
        ours = found[f"deadline_accuracy.{trace}"].value
        best = found[f"deadline_accuracy_best_single.{trace}"].value
        assert best == pytest.approx(max(told["singles"]))
        assert found[f"deadline_gain.{trace}"].value == pytest.approx(ours - best)
        met = found[f"deadline_met.{trace}"].value
        assert met == pytest.approx(100 * sum(told["answered"]))
        assert ours <= met * max(told["accuracies"]) / 100 + 1e-9
        member = [Candidate("eve", m, candidate.weights) for m in candidate.payload.members]
        correct = [
            count_correct(trained_network(m, workload, "test"), workload.data.validation,
                          batch_size=60, device="cpu")
            for m in member
        ]  # fmt: skip
        assert told["accuracies"] == pytest.approx([100 * c / 60 for c in correct])
        assert correct[0] < correct[2] == 54


def test_the_test_split_is_for_the_end(workload: Tiny, candidate: Candidate[ModeFamily]) -> None:
    options: dict[str, Any] = {"traces": ("solar",), "policy": "fixed:3"}
    chosen, final = (evaluated(workload, candidate, test=t, **options) for t in (False, True))
    assert len(final) == 4
    assert {m.split for m in final.values()} == {"test"}
    assert final["deadline_met"].value == chosen["deadline_met"].value
    ratio = final["deadline_accuracy"].value / chosen["deadline_accuracy"].value
    assert ratio == pytest.approx(48 / 54)


def test_same_draws_for_all(workload: Tiny, candidate: Candidate[ModeFamily]) -> None:
    once = evaluated(workload, candidate, traces=("solar",))
    again = evaluated(workload, candidate, traces=("solar",))
    assert once == again
    other = evaluated(workload, candidate, traces=("solar",), seed=5)
    assert once["deadline_accuracy"].std is not None
    assert once != other


def test_recordings_and_poisson_requests(
    workload: Tiny, candidate: Candidate[ModeFamily], tmp_path: Path
) -> None:
    path = tmp_path / "my roof.csv"
    path.write_text("0,8\n1000,8\n", encoding="utf-8")
    found = evaluated(workload, candidate, traces=(str(path), "solar"), arrivals="poisson",
                      period_s=100.0)  # fmt: skip
    assert found["deadline_accuracy.my_roof"].value == pytest.approx(90.0, abs=10.0)
    assert found["deadline_met.my_roof"].value > 90


def test_what_cannot_be_measured(workload: Tiny, candidate: Candidate[ModeFamily]) -> None:
    with pytest.raises(EvaluationError, match="family of modes"):
        evaluated(workload, Candidate("eve", candidate.payload.members[0], candidate.weights))
    with pytest.raises(EvaluationError, match="needs trained weights"):
        evaluated(workload, Candidate("eve", candidate.payload))
    with pytest.raises(InfeasibleCandidate, match="energy_per_power_cycle"):
        evaluated(workload, Candidate("eve", family((14, 14, 16)), candidate.weights))
    for wrong, message in (
        ({"policy": "best"}, "unknown policy"),
        ({"policy": "fixed:4"}, "unknown policy"),
        ({"traces": ("solar", "solar")}, "two traces"),
        ({"traces": ("moon",)}, "unknown trace"),
    ):
        with pytest.raises(ConfigError, match=message):
            evaluated(workload, candidate, **wrong)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="workload"):
        Harvest.from_config(HarvestConfig(deadline_s=1.0), None)
