"""Networks as programs: what is written runs alike, and what cannot be written says why."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from search.api.errors import EvaluationError
from search.workloads.image import ImageClassification
from search.workloads.program import write_onnx, write_program

DATA = {"name": "fashion_mini", "train": 60, "validation": 40, "test": 20}


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


class _Branching(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x if float(x.sum()) > 0 else -x


@pytest.mark.parametrize("write", [write_program, write_onnx])
def test_what_cannot_be_exported_says_why_and_leaves_no_file(write: Any, tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match=r"torch\.(export|onnx) failed"):
        write(_Branching().eval(), (3,), tmp_path / "f")
    assert not (tmp_path / "f").exists()


class _Random(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + torch.randn_like(x)


def test_a_program_with_other_outputs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match="other outputs"):
        write_program(_Random().eval(), (3,), tmp_path / "f")
    assert not (tmp_path / "f").exists()


def test_a_network_of_ones_own_exports_too(tmp_path: Path) -> None:
    workload = ImageClassification(
        nn.Sequential(nn.Flatten(), nn.Linear(196, 8), nn.ReLU(), nn.Linear(8, 10)), DATA
    )
    difference = write_program(workload.build(0).eval(), (1, 14, 14), tmp_path / "p.pt2")
    assert difference < 1e-5


def test_the_size_of_the_batch_is_free(tmp_path: Path) -> None:
    network = nn.Linear(4, 2).eval()
    write_program(network, (4,), tmp_path / "p.pt2")
    program = torch.export.load(tmp_path / "p.pt2").module()
    for n in (1, 2, 9):
        assert program(torch.ones(n, 4)).shape == (n, 2)


def test_onnx_agrees_or_is_checked_for_form(tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    level = logging.getLogger("torch.onnx").level
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        difference = write_onnx(nn.Linear(4, 2).eval(), (4,), tmp_path / "m.onnx")
    assert (tmp_path / "m.onnx").stat().st_size > 0
    assert difference is None or difference < 1e-5
    assert logging.getLogger("torch.onnx").level == level


def test_a_folder_that_is_not_there_is_an_error_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match=r"^torch\.export failed: [^\n]+$"):
        write_program(nn.Linear(4, 2).eval(), (4,), tmp_path / "none" / "p.pt2")
