import pytest

from search.api.candidate import to_plain
from search.api.errors import ConfigError, EvaluationError
from search.api.network import Site
from spaces.pruning.plan import LayerLevels, LayerPruning, PruningPlan, Schedule

SITES = (
    Site("conv1", "conv", "conv", (1, 8, 8), (4, 6, 6), macs=1296, weights=36),
    Site("relu", "activation", "relu", (4, 6, 6), (4, 6, 6)),
    Site("fc", "linear", "linear", (144,), (10,), macs=1440, weights=1440),
)
PLAN = PruningPlan(
    (LayerPruning("conv1", "filter", 2, 4), LayerPruning("conv1", "column", 3, 9),
     LayerPruning("fc", "element", 144, 1440)),
    (LayerLevels("fc", 3, "power_of_two"),),
    Schedule(2, 1e-3, 1e-2),
)  # fmt: skip


def test_structures_of_one_layer_multiply() -> None:
    assert PLAN.nonzeros(SITES) == {"conv1": 6, "fc": 144}
    assert [layer.keep for layer in PLAN.of("conv1")] == [0.5, pytest.approx(1 / 3)]


def test_work_shrinks_with_the_weights() -> None:
    works = {work.site: work for work in PLAN.usage(SITES)}
    assert works["fc"].macs == 144
    assert works["fc"].weights == 144
    assert works["conv1"].macs == pytest.approx(216)
    assert works["relu"].elements == 144


def test_it_survives_json() -> None:
    assert PruningPlan.decode(to_plain(PLAN)) == PLAN
    assert PLAN.as_mapping() == {}
    assert PLAN.masks() == {}


def test_other_data_is_refused() -> None:
    with pytest.raises(ConfigError, match="not a pruning plan"):
        PruningPlan.decode({"layers": []})
    data = to_plain(PLAN)
    data["layers"][0]["structure"] = "row"
    with pytest.raises(ConfigError, match="unknown value 'row'"):
        PruningPlan.decode(data)


def test_another_networks_plan() -> None:
    with pytest.raises(EvaluationError, match="'conv9' is no layer of the network"):
        PruningPlan((LayerPruning("conv9", "element", 1, 9),)).nonzeros(SITES)
