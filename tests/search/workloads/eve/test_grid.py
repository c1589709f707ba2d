from __future__ import annotations

import pytest
import torch

from search.api.errors import EvaluationError
from search.workloads.eve.grid import exponent_of, integers_of, on_grid


@pytest.mark.parametrize("bits", [4, 8, 16])
@pytest.mark.parametrize("largest", [1e-4, 0.3, 1.0, 127 / 128, 5.0])
def test_the_finest_grid_that_holds_the_largest(bits: int, largest: float) -> None:
    weight = torch.tensor([largest, -largest / 3, 0.0])
    exponent = exponent_of(weight, bits)
    most = 2 ** (bits - 1) - 1
    assert largest <= most * 2.0**exponent * (1 + 1e-6)
    assert largest > most * 2.0 ** (exponent - 1)
    error = (on_grid(weight, exponent, bits) - weight).abs().max()
    assert float(error) <= 2.0 ** (exponent - 1) * (1 + 1e-6)


@pytest.mark.parametrize("bits", [8, 16])
def test_values_are_exactly_integers_times_the_scale(bits: int) -> None:
    weight = torch.randn(4, 3, 3, 3, generator=torch.Generator().manual_seed(0))
    exponent = exponent_of(weight, bits)
    integers = integers_of(weight, exponent, bits)
    assert integers.dtype == torch.int32
    assert int(integers.abs().max()) > 2 ** (bits - 2) - 1  # the range is used
    rounded = on_grid(weight, exponent, bits)
    assert torch.equal(rounded.double(), integers.double() * 2.0**exponent)
    assert torch.equal(on_grid(rounded, exponent, bits), rounded)
    assert not rounded.requires_grad


def test_what_does_not_fit_is_clamped() -> None:
    weight = torch.tensor([300.0, -300.0, 2.4, 2.5, 3.5])
    assert integers_of(weight, 0, 8).tolist() == [127, -127, 2, 2, 4]


def test_broken_weights_are_told() -> None:
    with pytest.raises(EvaluationError, match="NaN or infinite"):
        exponent_of(torch.tensor([1.0, float("nan")]), 8)


def test_nothing_but_zeros() -> None:
    assert exponent_of(torch.zeros(3), 8) == 0
    assert exponent_of(torch.zeros(0), 8) == 0
