from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from search.workloads.eve.integer_arithmetic import (
    average_pool,
    limits,
    max_pool,
    products,
    quantise,
    rounding_shift,
    saturate,
)


def test_shift_rounds_halves_up_on_both_sides_of_zero() -> None:
    given = torch.tensor([-5, -4, -3, -2, -1, 0, 1, 2, 3, 5, 6], dtype=torch.float64)
    assert rounding_shift(given, 2).tolist() == [-1, -1, -1, 0, 0, 0, 0, 1, 1, 1, 2]
    assert torch.equal(rounding_shift(given, 0), given)


@pytest.mark.parametrize("shift", [1, 7, 30])
def test_shift_is_that_of_integers(shift: int) -> None:
    g = torch.Generator().manual_seed(shift)
    given = torch.randint(-(2**45), 2**45, (1000,), generator=g)
    expected = [(v + (1 << (shift - 1))) >> shift for v in given.tolist()]
    assert rounding_shift(given.double(), shift).long().tolist() == expected


def test_saturation_is_that_of_twos_complement() -> None:
    assert limits(8) == (-128, 127)
    assert saturate(torch.tensor([-200.0, -128, 127, 128]), 8).tolist() == [-128, -128, 127, 127]


def test_quantised_values_are_nearest_and_saturated() -> None:
    given = torch.tensor([0.5, -0.5, 0.126, 9.0, -9.0])
    assert quantise(given, 2, 4).tolist() == [2, -2, 1, 7, -8]
    assert quantise(torch.tensor([0.125, -0.125]), 2, 4).tolist() == [1, 0]  # halves up


@pytest.mark.parametrize(("stride", "padding"), [((1, 1), (0, 0)), ((2, 3), (1, 2))])
def test_products_are_exact_where_float32_is_not(
    stride: tuple[int, int], padding: tuple[int, int]
) -> None:
    g = torch.Generator().manual_seed(0)
    x = torch.randint(-(2**15), 2**15, (2, 3, 7, 8), generator=g)
    w = torch.randint(-(2**15), 2**15, (4, 3, 3, 2), generator=g)
    b = torch.randint(-(2**31), 2**31, (4,), generator=g)
    found = products(x.double(), w.double(), b.double(), stride, padding).long()
    rows = (7 + 2 * padding[0] - 3) // stride[0] + 1
    columns = (8 + 2 * padding[1] - 2) // stride[1] + 1
    assert found.shape == (2, 4, rows, columns)
    padded = F.pad(x, (padding[1], padding[1], padding[0], padding[0]))
    for r in range(rows):
        for c in range(columns):
            top, left = r * stride[0], c * stride[1]
            window = padded[:, :, top : top + 3, left : left + 2]
            expected = (window[:, None] * w[None]).sum(dim=(2, 3, 4)) + b
            assert torch.equal(found[:, :, r, c], expected)


def test_average_is_the_nearest_integer_of_exact_quotients() -> None:
    g = torch.Generator().manual_seed(1)
    x = torch.randint(-128, 128, (2, 2, 5, 5), generator=g).double()
    found = average_pool(x, (3, 3), (2, 2), (1, 1), count_padding=False)
    for r in range(3):
        for c in range(3):
            window = x[:, :, max(0, 2 * r - 1) : 2 * r + 2, max(0, 2 * c - 1) : 2 * c + 2]
            count = window.shape[2] * window.shape[3]
            total = window.sum(dim=(2, 3))
            expected = [math.floor((2 * int(v) + count) / (2 * count)) for v in total.flatten()]
            assert found[:, :, r, c].flatten().tolist() == expected


def test_average_over_four_is_the_shift() -> None:
    g = torch.Generator().manual_seed(2)
    x = torch.randint(-128, 128, (1, 3, 4, 4), generator=g).double()
    total = F.avg_pool2d(x, 2, divisor_override=1)
    found = average_pool(x, (2, 2), (2, 2), (0, 0), count_padding=True)
    assert torch.equal(found, rounding_shift(total, 2))


def test_padding_never_wins_a_maximum() -> None:
    x = torch.full((1, 1, 2, 2), -128.0, dtype=torch.float64)
    assert bool((max_pool(x, (2, 2), (1, 1), (1, 1), ceil=False) == -128).all())
