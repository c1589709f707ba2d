"""A study's workload with a network small enough to prune by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from search.api.candidate import Candidate
from search.workloads.image import ImageClassification
from search.workloads.plan import save_weights
from spaces.pruning.plan import LayerLevels, LayerPruning, PruningPlan

DATA = {"name": "fashion_mini", "train": 60, "validation": 40, "test": 20}


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def workload() -> ImageClassification:
    return ImageClassification(network={"name": "tiny_cnn", "widths": [8, 12]}, data=DATA)


@pytest.fixture
def pruned(workload: ImageClassification, tmp_path: Path) -> Callable[..., Candidate[Any]]:
    """Weights with a quarter of the filters and about half of the other weights at zero."""

    def make(*, levels: tuple[LayerLevels, ...] = (), quantised: bool = True) -> Candidate[Any]:
        network = workload.build(0)
        generator = torch.Generator().manual_seed(0)
        entries = []
        with torch.no_grad():
            for name, layer in network.named_modules():
                if not isinstance(layer, nn.Conv2d | nn.Linear):
                    continue
                mask = torch.rand(layer.weight.shape, generator=generator) < 0.5
                layer.weight *= mask
                if isinstance(layer, nn.Conv2d):
                    n = len(layer.weight)
                    layer.weight[: n // 4] = 0
                    layer.bias[: n // 4] = -0.1  # type: ignore[index]
                    entries.append(LayerPruning(name, "filter", n - n // 4, n))
            for entry in levels if quantised else ():
                weight = network.get_parameter(f"{entry.site}.weight")
                step = weight.abs().max() / 2 ** (entry.bits - 1)
                weight.copy_(torch.sign(weight) * torch.ceil(weight.abs() / step) * step)
        path = save_weights(network, tmp_path / "pruned.safetensors")
        return Candidate("pruning_ratio", PruningPlan(tuple(entries), levels), path)

    return make
