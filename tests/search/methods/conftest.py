"""A tiny real workload (digits, two convolutions) and a context that records."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from search.testing.recorder import Recorder
from search.workloads.image import ImageClassification


def tiny_network(input_shape: tuple[int, int, int], classes: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(input_shape[0], 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(4, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(),
        nn.Flatten(), nn.Linear(8 * 4 * 4, classes),
    )  # fmt: skip


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def workload(cache: Path, monkeypatch: pytest.MonkeyPatch) -> ImageClassification:
    """Digits and the tiny network; its teacher is trained once per test session."""
    monkeypatch.setenv("CIPHER_SEARCH_CACHE", str(cache))
    return ImageClassification(
        tiny_network, "digits", teacher={"epochs": 3, "learning_rate": 0.05, "batch_size": 64}
    )


@pytest.fixture
def recorder(tmp_path: Path) -> Callable[..., Recorder]:
    def make(name: str = "trial", **options: Any) -> Recorder:
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        return Recorder(folder, **options)

    return make
