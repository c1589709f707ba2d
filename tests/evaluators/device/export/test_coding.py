from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from evaluators.device.export.coding import code_bits, encode, pack
from search.api.errors import EvaluationError
from search.workloads.eve.integer import IntegerLayer


def layer(level: Tensor) -> IntegerLayer:
    weight = torch.arange(1, level.numel() + 1).view(level.shape) * (level > 0)
    bias = torch.zeros(3, len(level), dtype=torch.int64)
    return IntegerLayer("here", weight, level.to(torch.uint8), bias, 0, 0, 0, 32, 1)


def test_filters_store_whole_filters_that_some_mode_keeps() -> None:
    level = torch.tensor([2, 0, 1]).view(3, 1, 1, 1).expand(3, 2, 2, 1)
    made = layer(level)
    found = encode(made, 3)
    assert found.coding == "filter"
    assert found.levels.tolist() == [2, 0, 1]
    assert found.first.tolist() == [0, 0, 4]
    # Position by position, the channels of a position side by side.
    assert found.weights[:4].tolist() == made.weight[0].permute(1, 2, 0).flatten().tolist()
    assert len(found.weights) == 8


def test_patterns_store_positions_in_the_order_of_the_modes() -> None:
    rows = torch.tensor([[0, 2, 1, 2], [0, 2, 1, 2], [1, 2, 2, 0]])
    made = layer(rows.view(3, 1, 2, 2).expand(3, 2, 2, 2))
    found = encode(made, 2)
    assert found.coding == "pattern"
    assert found.counts.tolist() == [1, 3]
    assert found.orders.tolist() == [[0, 1, 2], [2, 1, 3]]
    assert found.index.tolist() == [1, 1, 0]
    first = made.weight[0].flatten(1)  # [channels, positions]
    expected = [int(first[c, p]) for p in (2, 1, 3) for c in (0, 1)]
    assert found.weights[:6].tolist() == expected
    assert len(found.weights) == 18


def test_filters_of_unequal_counts_are_no_patterns() -> None:
    rows = torch.tensor([[0, 2, 1, 2], [0, 2, 1, 0]])
    found = encode(layer(rows.view(2, 1, 2, 2).expand(2, 3, 2, 2)), 2)
    assert found.coding == "weight"
    assert len(found.weights) == len(found.levels) == 24


def test_blocks_leave_out_what_no_mode_keeps() -> None:
    level = torch.tensor([[1, 1, 0, 0, 2], [0, 0, 2, 2, 0]])
    found = encode(layer(level), 2, block=2)
    assert found.coding == "block"
    assert found.levels.tolist() == [1, 0, 2, 0, 2, 0]
    assert found.weights.tolist() == [1, 2, 5, 8, 9]
    assert found.first.tolist() == [0, 3]
    assert encode(layer(level), 2, block=3).coding == "weight"
    assert encode(layer(level), 2).coding == "weight"


def test_levels_are_packed_lowest_bits_first() -> None:
    levels = np.array([1, 2, 3, 0, 2])
    assert pack(levels, 2).tolist() == [0b00111001, 0b10]
    assert pack(levels, 4).tolist() == [0x21, 0x03, 0x02]
    assert pack(levels, 8).tolist() == levels.tolist()


@pytest.mark.parametrize(("modes", "bits"), [(1, 2), (3, 2), (4, 4), (15, 4), (16, 8), (255, 8)])
def test_code_has_room_for_every_level_and_none(modes: int, bits: int) -> None:
    assert code_bits(modes) == bits
    assert modes < 2**bits


def test_too_many_modes_are_refused() -> None:
    with pytest.raises(EvaluationError, match="256 modes"):
        code_bits(256)
