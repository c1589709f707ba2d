import pytest
import torch

from search.api.errors import ConfigError
from search.methods.pruning.projections import (
    PROJECTIONS,
    chained,
    circulant,
    levelled,
    levels_of,
    structured,
    structures_of,
)
from search.workloads.pruning.structures import units_of
from spaces.pruning.plan import LEVELS, STRUCTURES, LayerLevels, LayerPruning, PruningPlan


@pytest.fixture
def weight() -> torch.Tensor:
    return torch.randn(8, 4, 3, 3, generator=torch.Generator().manual_seed(3))


def test_every_structure_and_every_kind_of_levels_has_a_projection() -> None:
    assert set(STRUCTURES) | set(LEVELS) | {"circulant"} == set(PROJECTIONS)


@pytest.mark.parametrize("structure", STRUCTURES)
def test_what_is_projected_stays(weight: torch.Tensor, structure: str) -> None:
    units = units_of(structure, tuple(weight.shape))
    project = structured(LayerPruning("conv", structure, max(1, units // 2), units))
    once = project(weight)
    assert 0 < int((once != 0).sum()) < weight.numel()
    assert torch.equal(project(once), once)
    assert torch.equal(once[once != 0], weight[once != 0])


def test_circulant_blocks_are_the_nearest_ones() -> None:
    weight = torch.randn(4, 6, generator=torch.Generator().manual_seed(4))
    found = circulant(2)(weight)
    for row in range(0, 4, 2):
        for column in range(0, 6, 2):
            (a, b), (c, d) = found[row : row + 2, column : column + 2].tolist()
            (p, q), (r, s) = weight[row : row + 2, column : column + 2].tolist()
            assert a == d == pytest.approx((p + s) / 2)
            assert b == c == pytest.approx((q + r) / 2)
    torch.testing.assert_close(circulant(2)(found), found)
    assert torch.equal(circulant(1)(weight), weight)


def test_a_block_of_three_has_three_numbers() -> None:
    found = circulant(3)(torch.randn(3, 3, generator=torch.Generator().manual_seed(5)))
    for row in range(3):
        torch.testing.assert_close(found[row], found[0].roll(row))


def test_circulant_blocks_need_a_side() -> None:
    with pytest.raises(ConfigError, match=r"at least 1 \(got 0\)"):
        circulant(0)


def test_one_after_the_other(weight: torch.Tensor) -> None:
    filters = structured(LayerPruning("c", "filter", 4, 8))
    levels = levelled(LayerLevels("c", 2, "equal"))
    found = chained([filters, levels])(weight)
    assert int((found.flatten(1).abs().sum(1) > 0).sum()) == 4
    assert len(torch.unique(found[found != 0].abs())) <= 2


def test_a_plan_gives_projections_of_what_it_changes(weight: torch.Tensor) -> None:
    plan = PruningPlan(
        (LayerPruning("a", "filter", 4, 8), LayerPruning("a", "column", 9, 36),
         LayerPruning("b", "element", 5, 5)),
        (LayerLevels("b", 4),),
    )  # fmt: skip
    found = structures_of(plan)
    assert found.sites == ("a",)
    assert int((found.project({"a": weight})["a"] != 0).sum()) == 4 * 9
    assert levels_of(plan).sites == ("b",)


def test_tied_layers_keep_the_filters_that_are_largest_together(weight: torch.Tensor) -> None:
    other = torch.zeros(8, 2, 1, 1)
    other[:4] = 3.0
    entries = (
        LayerPruning("a", "filter", 3, 8),
        LayerPruning("b", "filter", 3, 8),
        LayerPruning("b", "column", 1, 2),
    )
    plan = PruningPlan(entries, ties=(("a", "b"),))
    weights = {"a": weight, "b": other}
    found = structures_of(plan).project(weights)
    rows = {site: w.flatten(1).any(1) for site, w in found.items()}
    assert rows["a"].equal(rows["b"])
    together = sum(w.flatten(1).square().sum(1) for w in weights.values())
    assert set(rows["a"].nonzero().flatten().tolist()) == set(together.topk(3).indices.tolist())
    assert found["b"].flatten(1).any(0).sum() == 1  # the structure of its own comes after
    alone = structures_of(PruningPlan(entries)).project(weights)
    assert not alone["a"].flatten(1).any(1).equal(rows["a"])
