from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from search.api.errors import ConfigError, EvaluationError
from search.workloads.eve.levels import (
    PatternCode,
    UnitCode,
    Units,
    blocks,
    choose_code,
    choose_codes,
    compact,
    unit_energy,
    units_of,
    weight_of,
)
from search.workloads.nested import NestedWeights, load_nested, private_state, save_nested
from spaces.eve.family import Execution, LayerMode, ModeFamily, ModePlan

PATTERN = Units("conv", "pattern", (3, 5, 6), 9)
FILTER = Units("conv", "filter", (2, 4, 7), 8)
BLOCK = Units("fc", "block", (4, 9, 13), 15, block=4)  # 5 outputs of 10 inputs


def scores(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def kept(level: Tensor, mode: int) -> Tensor:
    return (level > 0) & (level <= mode)


def test_patterns_keep_whole_positions_of_every_filter() -> None:
    code = choose_code(scores(8, 4, 3, 3), PATTERN, 4)
    level = code.expand((8, 4, 3, 3))
    assert isinstance(code, PatternCode)
    assert len(code.orders) <= 4
    assert torch.equal(level, level[:, :1].expand_as(level))  # all channels alike
    for mode, count in enumerate(PATTERN.kept, start=1):
        assert kept(level, mode)[:, 0].flatten(1).sum(1).tolist() == [count] * 8


def test_filters_and_blocks_keep_the_best_units() -> None:
    score = scores(8, 4, 3, 3)
    level = choose_code(score, FILTER, 4).expand(score.shape)
    order = score.flatten(1).sum(1).argsort(descending=True)
    assert level[order, 0, 0, 0].tolist() == [1, 1, 2, 2, 3, 3, 3, 0]

    score = scores(5, 10)
    code = choose_code(score, BLOCK, 4)
    level = code.expand(score.shape)
    energy = unit_energy(score, 4).view(5, 3)
    assert energy[2, 2] == pytest.approx(float(score[2, 8:].sum()))  # a short last block
    best = energy.flatten().argsort(descending=True)
    assert isinstance(code, UnitCode)
    assert code.levels[best].tolist() == [1] * 4 + [2] * 5 + [3] * 4 + [0] * 2
    assert torch.equal(level[:, :4], level[:, :1].expand(5, 4))
    assert torch.equal(level[:, 8:], level[:, 8:9].expand(5, 2))


@pytest.mark.parametrize(
    ("units", "shape"), [(PATTERN, (8, 4, 3, 3)), (FILTER, (8, 4, 3, 3)), (BLOCK, (5, 10))]
)
def test_codes_and_fields_are_the_same_thing(units: Units, shape: tuple[int, ...]) -> None:
    code = choose_code(scores(*shape), units, 3)
    level = code.expand(shape)
    assert level.dtype == torch.uint8
    assert level.shape == shape
    again = compact(level, units)
    assert torch.equal(again.expand(shape), level)
    assert again.bits == code.bits


def test_bits_of_codes() -> None:
    orders = torch.stack([torch.randperm(9) for _ in range(4)]).to(torch.uint8)
    code = PatternCode(orders, torch.zeros(32, dtype=torch.uint8), (3, 5, 6))
    assert code.bits == 4 * 9 * 4 + 3 * 4 + 32 * 2
    assert UnitCode(torch.zeros(15, dtype=torch.uint8), 4, 3).bits == 15 * 2


def test_a_field_of_other_units_is_refused() -> None:
    level = choose_code(scores(8, 4, 3, 3), PATTERN, 4).expand((8, 4, 3, 3))
    level[3, 2, 1, 1] = 3 - level[3, 2, 1, 1] % 3  # one weight differs from its unit
    with pytest.raises(EvaluationError, match="whole pattern units"):
        compact(level, PATTERN)
    level = choose_code(scores(5, 10), BLOCK, 4).expand((5, 10))
    with pytest.raises(EvaluationError, match=r"not those of \[4, 9, 12\]"):
        compact(level, Units("fc", "block", (4, 9, 12), 15, block=4))


def test_codes_of_other_shapes_are_refused() -> None:
    with pytest.raises(EvaluationError, match="8 filters and 9 kernel positions"):
        choose_code(scores(8, 4, 3, 3), PATTERN, 4).expand((6, 4, 3, 3))
    with pytest.raises(EvaluationError, match="15 units"):
        choose_code(scores(5, 10), BLOCK, 4).expand((4, 10))
    with pytest.raises(ConfigError, match="has 25 pattern units"):
        choose_code(scores(8, 4, 5, 5), PATTERN, 4)


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(2, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(32, 5))


def family() -> ModeFamily:
    plans = []
    for level, (positions, runs) in enumerate(((3, 8), (5, 14), (6, 20)), start=1):
        conv = LayerMode("0", "pattern", positions, 9, Execution(2, 2, 8, 2))
        fc = LayerMode("3", "block", runs, 5 * blocks(32, 8), Execution(1, 1, 5, 8))
        plans.append(ModePlan(level, (conv, fc), 8))
    return ModeFamily(tuple(plans), pool=3)


def test_modes_are_extracted_exactly(tmp_path: Path) -> None:
    """Level field, file and extraction at run time give each mode its very weights."""
    whole = network()
    weights = {"0.weight": whole[0].weight.detach(), "3.weight": whole[3].weight.detach()}  # type: ignore[index]
    units = units_of(family())
    assert units["3.weight"] == Units("3", "block", (8, 14, 20), 20, 8)
    codes = choose_codes({n: w.square() for n, w in weights.items()}, units, 3)
    levels = {n: codes[n].expand(w.shape) for n, w in weights.items()}
    private = private_state(whole)
    nested = NestedWeights((0.3, 0.5, 0.6), weights, levels, {}, (private,) * 3)
    read = load_nested(save_nested(nested, tmp_path / "modes.safetensors"))
    for mode in (1, 2, 3):
        state = read.member(mode)
        for name, weight in weights.items():
            mask = kept(codes[name].expand(weight.shape), mode)
            assert torch.equal(state[name], weight * mask)
            assert int(mask.sum()) == read.nonzeros(mode)[name]
        assert torch.equal(state["3.bias"], private["3.bias"])
    assert read.nonzeros(1) == {"0.weight": 8 * 2 * 3, "3.weight": 8 * 8}
    for name, unit in units.items():  # what a device would store gives the same field
        assert torch.equal(compact(read.levels[name], unit).expand(weights[name].shape),
                           levels[name])  # fmt: skip


def test_families_of_other_networks_are_refused() -> None:
    units = units_of(family())
    with pytest.raises(ConfigError, match=r"differing: 3\.weight, 4\.weight"):
        choose_codes({"0.weight": scores(8, 2, 3, 3), "4.weight": scores(5, 32)}, units, 3)


def test_names_of_weights() -> None:
    assert weight_of("features.conv1") == "features.conv1.weight"
