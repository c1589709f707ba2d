from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from evaluators.device.export.arrays import source_of
from search.api.errors import EvaluationError
from search.workloads.canonical import canonicalise
from search.workloads.eve.integer import IntegerFamily

SHAPE = (2, 6, 6)


@pytest.fixture
def family(family_of: Callable[..., IntegerFamily]) -> IntegerFamily:
    torch.manual_seed(0)
    network = canonicalise(
        nn.Sequential(
            nn.Conv2d(2, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(16, 5)
        ),
        SHAPE,
    )
    units = {"0": ("pattern", 0), "4": ("block", 3)}
    return family_of(network, torch.randn(8, *SHAPE), units)


def array(text: str, name: str) -> list[int]:
    found = re.search(rf"\b{name}\[(\d+)\] = \{{([^}}]*)\}}", text)
    assert found is not None
    numbers = [int(word) for word in found[2].replace("\n", " ").split(",") if word.strip()]
    assert len(numbers) == int(found[1])
    return numbers


def test_weights_stand_once_with_biases_of_each_mode(family: IntegerFamily) -> None:
    source = source_of(family)
    conv, linear = family.layers["0"], family.layers["4"]
    kept = int((conv.level > 0).sum())
    assert sorted(array(source.arrays, "weights0")) == sorted(conv.weight[conv.level > 0].tolist())
    assert array(source.arrays, "bias0") == conv.bias.flatten().tolist()
    stored = kept + int((linear.level > 0).sum())
    assert source.sizes["weights"] == stored
    assert source.sizes["biases"] == 4 * 3 * (4 + 5)
    assert source.codings == {"0": "pattern", "4": "block"}


def test_the_header_has_the_sizes(family: IntegerFamily) -> None:
    defined = dict(re.findall(r"#define (EVE_\w+) (\d+)", source_of(family).header))
    assert defined == {
        "EVE_BITS": "8", "EVE_SUM_BITS": "32", "EVE_OFFSET_BITS": "16", "EVE_CODE_BITS": "2",
        "EVE_MODES": "3", "EVE_INPUTS": "72", "EVE_OUTPUTS": "5", "EVE_STEPS": "5",
        "EVE_MAX_VALUES": "64", "EVE_MAX_SUMS": "64", "EVE_MAX_CURSORS": "5",
    }  # fmt: skip


def test_schedules_are_the_payloads_within_the_layer(family: IntegerFamily) -> None:
    source = source_of(family)
    rows = re.search(r"tiles0\[3\] = \{([^;]*)\};", source.arrays)
    assert rows is not None
    for text, mode in zip(re.findall(r"\{([^}]*)\}", rows[1]), family.tiles, strict=True):
        t = mode["0"]
        sizes = [min(t.rows, 4), min(t.columns, 4), min(t.filters, 4), min(t.channels, 2), t.batch]
        assert text.split(", ") == [*map(str, sizes), f"EVE_{t.order.upper()}"]


def test_a_flatten_that_moves_nothing_is_no_step(family_of: Callable[..., IntegerFamily]) -> None:
    network = canonicalise(nn.Sequential(nn.Flatten(), nn.Linear(16, 2)), (1, 4, 4))
    made = family_of(network, torch.randn(8, 1, 4, 4), {"1": ("block", 4)})
    source = source_of(made)
    assert "FLATTEN" not in source.arrays
    assert "EVE_STEPS 1" in source.header


def test_blocks_of_unlike_schedules_fall_back(family: IntegerFamily) -> None:
    first = {**family.tiles[0], "4": replace(family.tiles[0]["4"], channels=2)}  # type: ignore[type-var]
    unlike = replace(family, tiles=(first, *family.tiles[1:]))
    assert source_of(unlike).codings["4"] == "weight"


def test_many_weights_need_wide_offsets(family_of: Callable[..., IntegerFamily]) -> None:
    network = canonicalise(nn.Sequential(nn.Flatten(), nn.Linear(1024, 200)), (1, 32, 32))
    made = family_of(network, torch.randn(4, 1, 32, 32), {"1": ("block", 1000)}, seed=1)
    wide = source_of(made)
    stored = int((made.layers["1"].level > 0).sum())
    assert ("EVE_OFFSET_BITS 32" in wide.header) == (stored > 65535)
    assert stored > 65535


def test_what_does_not_fit_the_tables_is_refused(family_of: Callable[..., IntegerFamily]) -> None:
    network = canonicalise(nn.Sequential(nn.Flatten(), nn.Linear(70_000, 1)), (1, 280, 250))
    made = family_of(network, torch.randn(2, 1, 280, 250), {"1": ("filter", 0)})
    with pytest.raises(EvaluationError, match="1: a side of 70000"):
        source_of(made)
    pool: Tensor = torch.randn(2, 1, 256, 256)
    network = canonicalise(
        nn.Sequential(nn.Conv2d(1, 1, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten()), (1, 256, 256)
    )
    made = family_of(network, pool, {"0": ("filter", 0)}, bits=16)
    with pytest.raises(EvaluationError, match="1: sums of 65536 values"):
        source_of(made)
