import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from evaluators.pruning.exporter import PruningExport
from search.api.candidate import Candidate, to_plain
from search.api.errors import ConfigError
from search.workloads.image import ImageClassification
from spaces.pruning.plan import LayerLevels

Pruned = Callable[..., Candidate[Any]]
LEVELS = (LayerLevels("conv2", 4), LayerLevels("classifier", 3))


def plain(candidate: Candidate[Any]) -> Candidate[Any]:
    """As the store holds it."""
    return dataclasses.replace(candidate, payload=to_plain(candidate.payload))


@pytest.mark.slow
def test_files_of_a_quantised_plan(
    workload: ImageClassification, pruned: Pruned, tmp_path: Path
) -> None:
    candidate = plain(pruned(levels=LEVELS))
    folder = tmp_path / "export"
    folder.mkdir()
    exporter = PruningExport()
    found = exporter.export(candidate, workload, {}, folder)
    assert set(found.files) == {"small", "sparse.safetensors", "load_sparse.py", "layers.json"}
    assert all((folder / name).exists() for name in found.files)
    assert set(found.left_out) <= {"small/model.onnx"}

    assert candidate.weights is not None
    network = exporter.network(workload, candidate.payload, candidate.weights)
    x = torch.randn(3, *workload.input_shape)
    program = torch.export.load(folder / "small" / "program.pt2").module()
    with torch.no_grad():
        assert torch.allclose(program(x), network(x), atol=1e-5)
    count = sum(p.numel() for p in program.parameters())
    assert count < 0.8 * sum(p.numel() for p in network.parameters())


def test_without_weights_or_network_everything_is_left_out(
    workload: ImageClassification, pruned: Pruned, tmp_path: Path
) -> None:
    candidate = plain(pruned())
    bare = dataclasses.replace(candidate, weights=None)
    for made, given, reason in (
        (bare, workload, "trained no weights"), (candidate, None, "has no network"),
    ):  # fmt: skip
        folder = tmp_path / reason.replace(" ", "_")
        folder.mkdir()
        found = PruningExport().export(made, given, {}, folder)
        assert found.files == {}
        assert set(found.left_out) == {
            "small", "sparse.safetensors", "load_sparse.py", "layers.json",
        }  # fmt: skip
        assert all(reason in text for text in found.left_out.values())
        assert not list(folder.iterdir())


def test_other_payloads_are_refused(workload: ImageClassification, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="not a pruning plan"):
        PruningExport().export(Candidate("pruning_ratio", {"a": 1}), workload, {}, tmp_path)
