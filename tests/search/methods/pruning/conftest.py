"""A small network on digits, its plan, and a context that records."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from search.testing.recorder import Recorder
from search.workloads.image import ImageClassification
from spaces.pruning.plan import LayerLevels, LayerPruning, PruningPlan, Schedule


class OnePlan:
    """A space of one plan."""

    kind = "pruning_ratio"

    def __init__(self, plan: Any) -> None:
        self.plan = plan

    def build(self, point: Any) -> Any:
        return self.plan


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pruning-cache")


@pytest.fixture
def workload(cache: Path, monkeypatch: pytest.MonkeyPatch) -> ImageClassification:
    """Digits and two convolutions; the unpruned network is trained once per test session."""
    monkeypatch.setenv("CIPHER_SEARCH_CACHE", str(cache))
    return ImageClassification(
        {"name": "tiny_cnn", "widths": [8, 16]}, "digits",
        teacher={"epochs": 8, "learning_rate": 0.005, "batch_size": 64, "optimizer": "adam"},
    )  # fmt: skip


@pytest.fixture
def plan() -> PruningPlan:
    """A tenth of the weights stays."""
    entries = (("conv1", 36, 72), ("conv2", 115, 1152), ("classifier", 64, 640))
    layers = tuple(LayerPruning(site, "element", kept, units) for site, kept, units in entries)
    return PruningPlan(layers, (), Schedule(1, 1e-3, 3e-2))


@pytest.fixture
def levels() -> tuple[LayerLevels, ...]:
    """Four bits for the two larger layers."""
    return (LayerLevels("conv2", 4, "equal"), LayerLevels("classifier", 3, "power_of_two"))


@pytest.fixture
def space() -> Callable[[Any], OnePlan]:
    return OnePlan


@pytest.fixture
def recorder(tmp_path: Path) -> Callable[..., Recorder]:
    def make(name: str = "trial", **options: Any) -> Recorder:
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        return Recorder(folder, **options)

    return make
