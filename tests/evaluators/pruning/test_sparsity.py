from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from evaluators.pruning.sparsity import Sparsity, SparsityConfig
from search.api.candidate import Candidate
from search.api.errors import ConfigError, EvaluationError
from search.api.metric import Fidelity
from search.api.network import Site
from search.api.protocols import Evaluator
from spaces.pruning.plan import LayerLevels, LayerPruning, PruningPlan

CONV = {"kernel": 5, "stride": 1, "padding": 0, "groups": 1}
SITES = (
    Site("conv1", "conv", "conv", (1, 28, 28), (20, 24, 24), 500 * 576, 500, CONV),
    Site("relu1", "activation", "relu", (20, 12, 12), (20, 12, 12)),
    Site("conv2", "conv", "conv", (20, 12, 12), (50, 8, 8), 25_000 * 64, 25_000, CONV),
    Site("fc1", "linear", "linear", (800,), (500,), 400_000, 400_000),
    Site("fc2", "linear", "linear", (500,), (10,), 5_000, 5_000),
)
SHAPES = {"conv1": (20, 1, 5, 5), "conv2": (50, 20, 5, 5), "fc1": (500, 800), "fc2": (10, 500)}
PAPER = {"conv1": 100, "conv2": 2000, "fc1": 3600, "fc2": 350}


def plan(bits: int | None = None) -> PruningPlan:
    return PruningPlan(
        tuple(LayerPruning(n, "element", k, int(np.prod(SHAPES[n]))) for n, k in PAPER.items()),
        tuple(LayerLevels(n, bits) for n in PAPER) if bits else (),
    )


def trained(tmp_path: Path, made: PruningPlan, drop: int = 0) -> Candidate[PruningPlan]:
    rng = np.random.default_rng(0)
    weights = {}
    for name, kept in PAPER.items():
        flat = np.zeros(int(np.prod(SHAPES[name])), np.float32)
        flat[rng.permutation(flat.size)[: kept - drop]] = 0.5
        weights[f"{name}.weight"] = flat.reshape(SHAPES[name])
        weights[f"{name}.bias"] = np.zeros(SHAPES[name][0], np.float32)
    path = tmp_path / "weights.safetensors"
    save_file(weights, path)
    return Candidate("pruning_ratio", made, path)


def measured(candidate: Candidate[Any], **options: Any) -> dict[str, float]:
    evaluator: Evaluator[Any] = Sparsity(SITES, **options)
    found = evaluator.evaluate(candidate, Fidelity("cost", 0), None)  # type: ignore[arg-type]
    assert {m.evidence for m in found} == {"bound"}
    assert [m.metric for m in found] == [m.name for m in evaluator.metrics]
    return {m.metric: m.value for m in found}


def test_the_papers_lenet_from_its_plan() -> None:
    found = measured(Candidate("pruning_ratio", plan()))
    assert found["nonzeros"] == 6050
    assert round(found["compression"], 1) == 71.2
    assert found["macs_left"] == 100 * 576 + 2000 * 64 + 3600 + 350
    assert found["fp32_ratio"] == pytest.approx(4 * 430_500 / found["weight_bytes"])


def test_weights_are_counted_exactly(tmp_path: Path) -> None:
    bound = measured(Candidate("pruning_ratio", plan()))
    found = measured(trained(tmp_path, plan(), drop=10))
    assert found["nonzeros"] == 6010
    assert found["macs_left"] == 90 * 576 + 1990 * 64 + 3590 + 340
    assert found["weight_bytes"] < bound["weight_bytes"]
    assert found["weight_bytes"] - found["index_bytes"] == 4 * 6010


def test_with_four_bits_the_index_outweighs_the_weights(tmp_path: Path) -> None:
    found = measured(trained(tmp_path, plan(bits=4)))
    values = found["weight_bytes"] - found["index_bytes"]
    assert values == 6050 / 2
    assert found["index_bytes"] > values
    assert (
        measured(trained(tmp_path, plan(bits=4)), index_bits=4)["index_bytes"]
        > (found["index_bytes"])
    )


def test_other_operators_keep_their_macs_and_repeated_layers_count_each_time() -> None:
    again = Site("conv2#1", *(getattr(SITES[2], f) for f in (
        "kind", "operator", "input_shape", "output_shape", "macs", "weights", "attributes")))  # type: ignore[arg-type]  # fmt: skip
    product = Site("matmul", "other", "matmul", (10,), (10,), macs=77)
    evaluator = Sparsity((*SITES, again, product))
    found = evaluator.evaluate(Candidate("pruning_ratio", plan()), Fidelity("c", 0), None)  # type: ignore[arg-type]
    values = {m.metric: m.value for m in found}
    assert values["nonzeros"] == 6050
    assert values["macs_left"] == 100 * 576 + 2 * 2000 * 64 + 3600 + 350 + 77


def test_zeros_everywhere_are_no_network(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    save_file({f"{n}.weight": np.zeros(s, np.float32) for n, s in SHAPES.items()}, path)
    with pytest.raises(EvaluationError, match="all weights are zero"):
        measured(Candidate("pruning_ratio", plan(), path))


def test_results_are_not_cached_by_plan() -> None:
    assert "weights" in Sparsity(SITES).needs


def test_options_and_workload() -> None:
    with pytest.raises(ConfigError, match="Add a `workload:` section"):
        Sparsity.from_config(SparsityConfig(), None)
    with pytest.raises(ValueError, match="index_bits"):
        SparsityConfig(index_bits=0)
