import pytest
import torch

from search.api.errors import ConfigError
from search.workloads.pruning.structures import largest, mask_of, units_of
from spaces.pruning.plan import STRUCTURES


@pytest.fixture
def weight() -> torch.Tensor:
    return torch.randn(6, 5, 3, 3, generator=torch.Generator().manual_seed(0))


def test_units_are_counted() -> None:
    shape = (6, 5, 3, 3)
    counts = {s: units_of(s, shape) for s in STRUCTURES}
    assert counts == {
        "element": 270, "filter": 6, "column": 45, "channel": 5, "pattern": 9, "nm": 4,
    }  # fmt: skip


@pytest.mark.parametrize("structure", STRUCTURES)
def test_masks_keep_the_share_they_should(weight: torch.Tensor, structure: str) -> None:
    units = units_of(structure, tuple(weight.shape))
    kept = max(1, units // 2)
    mask = mask_of(weight, structure, kept, units)
    assert mask.shape == weight.shape
    assert mask.dtype == torch.bool
    share = kept / units
    # In groups of four along five channels a group of one keeps its only weight.
    assert float(mask.float().mean()) == pytest.approx(0.6 if structure == "nm" else share)
    assert bool(mask_of(weight, structure, units, units).all())


@pytest.mark.parametrize("structure", STRUCTURES)
def test_no_other_mask_of_the_structure_keeps_more(weight: torch.Tensor, structure: str) -> None:
    units = units_of(structure, tuple(weight.shape))
    kept = max(1, units // 3)
    best = float((weight * mask_of(weight, structure, kept, units)).square().sum())
    for seed in range(20):
        other = torch.randn(weight.shape, generator=torch.Generator().manual_seed(seed + 1))
        mask = mask_of(other, structure, kept, units)
        assert float((weight * mask).square().sum()) <= best + 1e-5


def test_structures_are_whole(weight: torch.Tensor) -> None:
    rows = mask_of(weight, "filter", 2, 6).flatten(1)
    assert sorted(rows.float().mean(1).tolist()) == [0, 0, 0, 0, 1, 1]
    columns = mask_of(weight, "column", 9, 45).flatten(1)
    assert set(columns.float().mean(0).tolist()) == {0.0, 1.0}
    channels = mask_of(weight, "channel", 2, 5)
    assert set(channels.float().mean((0, 2, 3)).tolist()) == {0.0, 1.0}


def test_kernels_share_few_patterns(weight: torch.Tensor) -> None:
    mask = mask_of(weight, "pattern", 4, 9, pool=3)
    patterns = torch.unique(mask.flatten(2).reshape(-1, 9), dim=0)
    assert len(patterns) <= 3
    assert patterns.sum(1).tolist() == [4] * len(patterns)


def test_two_of_four_along_the_channels() -> None:
    weight = torch.tensor([[1.0, 4.0, 3.0, 2.0, 8.0, 5.0, 6.0, 7.0]])
    mask = mask_of(weight, "nm", 2, 4)
    assert mask.tolist() == [[False, True, True, False, True, False, False, True]]


def test_equal_magnitudes_keep_the_exact_number() -> None:
    assert int(mask_of(torch.ones(4, 4), "element", 5, 16).sum()) == 5
    assert largest(torch.zeros(6), 2).tolist() == [True, True, False, False, False, False]


@pytest.mark.parametrize(
    ("structure", "kept", "units"),
    [("filter", 0, 6), ("filter", 7, 6), ("filter", 2, 5), ("row", 1, 1), ("element", 1, 9)],
)
def test_what_a_weight_does_not_have(
    weight: torch.Tensor, structure: str, kept: int, units: int
) -> None:
    with pytest.raises(ConfigError):
        mask_of(weight, structure, kept, units)


def test_patterns_need_kernels() -> None:
    with pytest.raises(ConfigError, match="several positions"):
        units_of("pattern", (4, 4))
