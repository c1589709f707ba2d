"""Digits and a network for devices, without batch norm; its teacher is trained once per session."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from search.workloads.image import ImageClassification
from spaces.eve.family import ModeFamily
from spaces.eve.space import EveSpace


@pytest.fixture
def workload(cache: Path, monkeypatch: pytest.MonkeyPatch) -> ImageClassification:
    monkeypatch.setenv("CIPHER_SEARCH_CACHE", str(cache))
    return ImageClassification(
        {"name": "tiny_cnn", "widths": [6, 8]}, "digits",
        teacher={"epochs": 6, "learning_rate": 0.05, "batch_size": 64},
    )  # fmt: skip


@pytest.fixture
def space(workload: ImageClassification) -> EveSpace:
    """Everything but the shares is given."""
    return EveSpace(
        workload.sites(), modes=(3,), bits=(8,), pool=(4,), tile_side=(4,), tile_filters=(8,),
        tile_channels=(8,), order=("reuse_W",), batch=(1,),
    )  # fmt: skip


@pytest.fixture
def family(space: EveSpace) -> Callable[..., ModeFamily]:
    def make(keep: float = 0.7, steps: tuple[float, float] = (0.8, 0.6)) -> ModeFamily:
        return space.build({"keep": (keep,) * 3, "steps": steps})

    return make
