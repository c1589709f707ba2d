from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from evaluators.pruning.matrices import plan_of, read_weights
from search.api.candidate import Candidate
from search.api.errors import EvaluationError
from spaces.pruning.plan import LayerLevels, LayerPruning, PruningPlan
from spaces.pruning.units import Layer

LAYERS = (Layer("conv", 4, 3, 9, 16), Layer("fc", 2, 8, 1, 1))


def stored(tmp_path: Path, **weights: np.ndarray) -> Candidate[PruningPlan]:
    path = tmp_path / "weights.safetensors"
    save_file({f"{name}.weight": value for name, value in weights.items()}, path)
    return Candidate("pruning_ratio", PruningPlan(()), path)


def test_layers_come_as_rows_inputs_and_positions(tmp_path: Path) -> None:
    conv = np.arange(108, dtype=np.float32).reshape(4, 3, 3, 3)
    made = read_weights(stored(tmp_path, conv=conv, fc=np.ones((2, 8), np.float32)), LAYERS)
    assert {name: w.shape for name, w in made.items()} == {"conv": (4, 3, 9), "fc": (2, 8, 1)}
    assert made["conv"][1, 2, 5] == conv[1, 2, 1, 2]


def test_no_file_gives_nothing() -> None:
    assert read_weights(Candidate("pruning_ratio", PruningPlan(())), LAYERS) == {}


def test_files_that_do_not_fit(tmp_path: Path) -> None:
    one = stored(tmp_path, conv=np.ones((4, 3, 3, 3), np.float32))
    with pytest.raises(EvaluationError, match=r"no fc\.weight"):
        read_weights(one, LAYERS)
    other = stored(tmp_path, conv=np.ones((4, 2, 3, 3), np.float32), fc=np.ones((2, 8), np.float32))
    with pytest.raises(EvaluationError, match=r"conv: weights of shape \(4, 2, 3, 3\) do not fit"):
        read_weights(other, LAYERS)
    (tmp_path / "weights.safetensors").write_bytes(b"no weights")
    with pytest.raises(EvaluationError, match="cannot be read"):
        read_weights(other, LAYERS)


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        (PruningPlan((LayerPruning("x", "filter", 1, 4),)), "'x' is no layer of the network"),
        (PruningPlan((), (LayerLevels("x", 4),)), "'x' is no layer of the network"),
        (PruningPlan((LayerPruning("conv", "filter", 1, 5),)), "conv has 4 units of filter"),
        ("plan", "expected a pruning plan"),
    ],
)
def test_plans_that_do_not_fit(plan: object, message: str) -> None:
    with pytest.raises(EvaluationError, match=message):
        plan_of(Candidate("pruning_ratio", plan), LAYERS)


def test_plans_that_fit() -> None:
    plan = PruningPlan((LayerPruning("fc", "nm", 1, 8),), (LayerLevels("conv", 4),))
    assert plan_of(Candidate("pruning_ratio", plan), LAYERS) is plan
