import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from torch import fx

from evaluators.pruning.layer_files import LOADER, SPARSE, TABLE, write_layers
from evaluators.pruning.load_sparse import load
from search.api.candidate import Candidate
from search.workloads.image import ImageClassification
from search.workloads.plan import network_of
from spaces.pruning.plan import LayerLevels

Pruned = Callable[..., Candidate[Any]]
LEVELS = (LayerLevels("conv2", 4), LayerLevels("classifier", 3))


def trained(candidate: Candidate[Any], workload: ImageClassification) -> fx.GraphModule:
    assert candidate.weights is not None
    network: Any = network_of(workload, candidate.payload, candidate.weights)
    return network  # type: ignore[no-any-return]


def test_weights_come_back_and_the_table_says_what_is_there(
    workload: ImageClassification, pruned: Pruned, tmp_path: Path
) -> None:
    candidate = pruned(levels=LEVELS)
    network = trained(candidate, workload)
    assert write_layers(network, candidate.payload, workload.input_shape, tmp_path) == {}
    assert {file.name for file in tmp_path.iterdir()} >= {SPARSE, LOADER, TABLE}
    restored = load(tmp_path / SPARSE)
    assert restored.keys() == network.state_dict().keys()
    for name, value in network.state_dict().items():
        assert np.array_equal(restored[name], value.numpy())

    table = json.loads((tmp_path / TABLE).read_text())
    conv1, conv2 = table["layers"]["conv1"], table["layers"]["conv2"]
    assert conv1["filters_removed"] == [0, 1]
    assert conv1["kept"] == [{"structure": "filter", "kept": 6, "units": 8}]
    assert conv1["value_bits"] == 32
    assert (conv2["value_bits"], conv2["levels"]) == (4, "equal")
    assert conv2["channels_removed"] == [0, 1]
    nonzeros = int(network.get_parameter("conv2.weight").count_nonzero())
    assert conv2["nonzeros"] == nonzeros == conv2["weights"] - conv2["zeros"]
    total = table["total"]
    assert total["bytes"] == sum(layer["bytes"] for layer in table["layers"].values())
    assert total["bytes"] < (tmp_path / SPARSE).stat().st_size < total["bytes_dense_float32"]
    assert total["ratio_of_bytes"] > total["ratio_of_weights"] > 2


def test_weights_off_the_levels_stay_floats_and_say_why(
    workload: ImageClassification, pruned: Pruned, tmp_path: Path
) -> None:
    candidate = pruned(levels=LEVELS[:1], quantised=False)
    network = trained(candidate, workload)
    left_out = write_layers(network, candidate.payload, workload.input_shape, tmp_path)
    assert "expected at most 16" in left_out[f"{SPARSE}: codes of conv2.weight"]
    assert json.loads((tmp_path / TABLE).read_text())["layers"]["conv2"]["value_bits"] == 32
