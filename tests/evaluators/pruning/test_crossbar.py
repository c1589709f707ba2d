from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from evaluators.cost_table import CostTable, find_table
from evaluators.pruning.crossbar import (
    DEFAULT_TABLE,
    TABLES,
    Array,
    Crossbar,
    CrossbarConfig,
    arrays_of,
    planned,
)
from search.api.candidate import Candidate
from search.api.errors import ConfigError
from search.api.metric import Fidelity
from search.api.network import Site
from search.api.protocols import Evaluator
from spaces.pruning.plan import LayerLevels, LayerPruning, PruningPlan
from spaces.pruning.units import Layer

CONV = {"kernel": 5, "stride": 1, "padding": 0, "groups": 1}
SITES = (
    Site("conv2", "conv", "conv", (20, 12, 12), (50, 8, 8), 25_000 * 64, 25_000, CONV),
    Site("fc1", "linear", "linear", (800,), (500,), 400_000, 400_000),
)
WHOLE = PruningPlan(())


def measured(candidate: Candidate[Any], **options: Any) -> dict[str, float]:
    evaluator: Evaluator[Any] = Crossbar(SITES, **options)
    found = evaluator.evaluate(candidate, Fidelity("cost", 0), None)  # type: ignore[arg-type]
    assert {m.evidence for m in found} == {"model"}
    assert [m.metric for m in found] == [m.name for m in evaluator.metrics]
    return {m.metric: m.value for m in found}


def planned_candidate(*entries: LayerPruning, bits: int | None = None) -> Candidate[PruningPlan]:
    levels = tuple(LayerLevels(s.name, bits) for s in SITES) if bits else ()
    return Candidate("pruning_ratio", PruningPlan(entries, levels))


def test_blocks_of_a_whole_network_by_hand() -> None:
    # 500 inputs in 4 x 128 rows; 50 outputs of 2 cells and 2 signs in 4 x 64 columns; and so on.
    found = measured(Candidate("pruning_ratio", WHOLE))
    assert found["crossbar_blocks"] == 4 * 4 + 7 * 32
    assert found["crossbar_area"] == pytest.approx(240 * 2.51e-4)


def test_power_follows_active_rows_and_columns() -> None:
    found = measured(Candidate("pruning_ratio", WHOLE))
    rows, columns = 500 * 4 + 800 * 32, 200 * 4 + 2000 * 7
    assert found["crossbar_power"] == pytest.approx(3.58e-3 * (rows / 128 + columns / 64) / 2)


def test_filters_and_columns_save_blocks_and_elements_do_not() -> None:
    whole = measured(Candidate("pruning_ratio", WHOLE))
    less = measured(planned_candidate(
        LayerPruning("fc1", "filter", 250, 500), LayerPruning("fc1", "column", 100, 800)
    ))  # fmt: skip
    assert less["crossbar_blocks"] == 16 + 1 * 16
    element = measured(planned_candidate(LayerPruning("fc1", "element", 4000, 400_000)))
    assert element == whole


def test_fewer_bits_need_fewer_cells() -> None:
    assert measured(planned_candidate(bits=4))["crossbar_blocks"] == 4 * 2 + 7 * 16
    assert measured(planned_candidate(bits=2), cell_bits=1) == measured(
        planned_candidate(bits=4), cell_bits=2
    )
    assert measured(Candidate("pruning_ratio", WHOLE), weight_bits=4) == measured(
        planned_candidate(bits=4)
    )


def test_other_blocks() -> None:
    found = measured(Candidate("pruning_ratio", WHOLE), rows=64, columns=64)
    assert found["crossbar_blocks"] == 8 * 4 + 13 * 32
    assert found["crossbar_area"] == pytest.approx((32 + 416) * 2.51e-4 / 2)


def test_empty_rows_and_columns_of_the_weights_are_left_out(tmp_path: Path) -> None:
    conv, fc = np.ones((50, 20, 5, 5), np.float32), np.zeros((500, 800), np.float32)
    conv[16:] = 0
    conv[:, :15] = 0
    fc[:17, ::7] = 1.0  # 115 inputs
    path = tmp_path / "weights.safetensors"
    save_file({"conv2.weight": conv, "fc1.weight": fc}, path)
    evaluator = Crossbar(SITES)
    by_layer = evaluator.by_layer(Candidate("pruning_ratio", WHOLE, path))
    assert {name: blocks for name, (blocks, _) in by_layer.items()} == {"conv2": 1, "fc1": 2}


def test_convolutions_in_groups_are_a_matrix_each() -> None:
    weight = np.ones((6, 1, 9), np.float32)
    weight[2] = 0
    weight[3, 0, :4] = 0
    assert arrays_of(weight, 6) == [Array(9, 1)] * 2 + [Array(5, 1)] + [Array(9, 1)] * 2
    assert arrays_of(np.zeros((4, 2, 1), np.float32)) == []
    layer = Layer("depthwise", 6, 1, 9, 16)
    assert planned(layer, [LayerPruning("depthwise", "filter", 4, 6)], 6) == [Array(9, 1)] * 4
    grouped = Layer("grouped", 6, 2, 9, 16)
    assert planned(grouped, [LayerPruning("grouped", "channel", 1, 2)], 2) == [Array(9, 3)] * 2


def test_the_table_says_where_each_constant_is_from() -> None:
    table = CostTable.load(find_table(DEFAULT_TABLE, TABLES))
    assert all(c.source.startswith(("[N]", "[D]", "[N, D]")) for c in table.constants.values())
    # The fit: ResNet-18 at 5.83x, 11.17 million weights of 2 x 2 cells, in full blocks.
    blocks = 11.17e6 / 5.83 * 4 / (128 * 64)
    assert table.value("block_area", "mm2") * blocks == pytest.approx(0.235, rel=0.01)
    assert table.value("block_power", "W") * blocks == pytest.approx(3.359, rel=0.01)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"row_share": 1.5}, "row_share: expected 0 to 1"),
        ({"signs": 0}, "signs: expected a whole number above 0"),
        ({"rows": 1.5}, "rows: expected a whole number"),
        ({"block": 1}, "unknown constant"),
    ],
)
def test_constants_that_cannot_be(changes: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Crossbar(SITES, overrides=changes)


def test_options_and_workload() -> None:
    with pytest.raises(ConfigError, match="Add a `workload:` section"):
        Crossbar.from_config(CrossbarConfig(), None)
    with pytest.raises(ValueError, match="rows"):
        CrossbarConfig(rows=0)
