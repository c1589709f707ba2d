"""The ring against plain Python integers, which do not overflow."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from evaluators.mpc.ring import Ring
from search.api.errors import ConfigError


def integers(n: int, bits: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.empty(n, dtype=torch.int64).random_(-(2**bits), 2**bits, generator=generator)


def modulo(value: int, bits: int) -> int:
    return (value + 2 ** (bits - 1)) % 2**bits - 2 ** (bits - 1)


def test_encoding_cuts_off_towards_zero_as_the_backend_does() -> None:
    ring = Ring(64, 4)
    x = torch.tensor([0.99, -0.99, 0.5, 2.03])
    assert ring.encode(x).tolist() == [15, -15, 8, 32]
    assert ring.encode(x, rounded=True).tolist() == [16, -16, 8, 32]
    assert ring.encode(x, extra_bits=4).tolist() == [253, -253, 128, 519]
    assert ring.decode(ring.encode(x)).tolist() == [15 / 16, -15 / 16, 0.5, 2.0]
    assert ring.overflow_share == 0


def test_values_too_large_wrap_and_are_counted() -> None:
    ring = Ring(16, 8)
    assert ring.encode(torch.tensor([127.0, 128.0, -128.0, 300.0])).tolist() == [
        127 * 256, -(2**15), -(2**15), modulo(300 * 256, 16)
    ]  # fmt: skip
    assert ring.overflow_share == pytest.approx(2 / 4)
    assert Ring(64, 16).encode(torch.tensor([1e30])).abs().max() <= 2**63 - 1


@pytest.mark.parametrize(("bits", "size"), [(64, 40), (64, 20), (32, 20), (24, 11)])
def test_products_and_sums_are_exact_modulo_the_ring(bits: int, size: int) -> None:
    ring = Ring(bits, 8)
    x, y = integers(500, size), integers(500, size, seed=1)
    pairs = list(zip(x.tolist(), y.tolist(), strict=True))
    assert ring.times(x, y).tolist() == [modulo(a * b, bits) for a, b in pairs]
    assert ring.add(x, y).tolist() == [modulo(a + b, bits) for a, b in pairs]
    over = sum(not -(2 ** (bits - 1)) <= a * b < 2 ** (bits - 1) for a, b in pairs)
    over += sum(not -(2 ** (bits - 1)) <= a + b < 2 ** (bits - 1) for a, b in pairs)
    assert ring.overflow_share == pytest.approx(over / 1000)


@pytest.mark.parametrize(("bits", "size"), [(64, 58), (64, 30), (32, 30)])
def test_matrix_products_are_exact_modulo_the_ring(bits: int, size: int) -> None:
    ring = Ring(bits, 16)
    x, w = integers(6 * 9, size).view(6, 9), integers(4 * 9, 17, seed=1).view(4, 9)
    found = ring.linear(lambda a, b: a @ b.T, x, w)
    rows = [[sum(a * b for a, b in zip(r, c, strict=True)) for c in w.tolist()] for r in x.tolist()]
    assert found.tolist() == [[modulo(v, bits) for v in row] for row in rows]
    over = sum(abs(v) >= 2 ** (bits - 1) for row in rows for v in row)
    assert ring.overflow_share == pytest.approx(over / 24)
    assert (over > 0) == (size != 30 or bits == 32)


def test_convolutions_are_exact_too() -> None:
    ring = Ring()
    x, w = integers(2 * 3 * 25, 45).view(2, 3, 5, 5), integers(4 * 27, 16, 1).view(4, 3, 3, 3)
    found = ring.linear(lambda a, b: F.conv2d(a, b, padding=1), x, w)
    corner = sum(
        x[1, c, i, j].item() * w[2, c, i + 1, j + 1].item()
        for c in range(3)
        for i in range(2)
        for j in range(2)
    )
    assert found[1, 2, 0, 0].item() == modulo(corner, 64)


@pytest.mark.parametrize("divisor", [None, 7])
def test_truncation_is_off_by_at_most_one_unit(divisor: int | None) -> None:
    x = integers(20_000, 40, seed=9)
    exact = [v // (divisor or 2**16) for v in x.tolist()]
    found = {t: Ring(truncation=t).truncate(x, divisor) for t in ("local", "probabilistic")}  # type: ignore[arg-type]
    assert Ring(truncation="exact").truncate(x, divisor).tolist() == exact
    for kind, values in found.items():
        off = values - torch.tensor(exact)
        assert set(off.tolist()) <= ({-1, 0, 1} if kind == "local" else {0, 1})
        assert len(set(off.tolist())) > 1
    # Up with the chance of the fraction: no bias.
    rest = (x.double() / (divisor or 2**16) - found["probabilistic"]).mean()
    assert abs(float(rest)) < 5 * 0.5 / math.sqrt(20_000)


def test_local_truncation_fails_as_often_as_the_ring_is_small() -> None:
    ring = Ring(32, 8, seed=1)
    value = 2**28
    x = torch.full((40_000,), value)
    found = ring.truncate(x)
    wrong = float(((found - value // 256).abs() > 1).double().mean())
    expected = value / 2**32
    assert wrong == pytest.approx(expected, abs=5 * math.sqrt(expected / 40_000))
    assert ring.overflow_share == pytest.approx(wrong)
    assert (
        float((Ring(32, 8, truncation="probabilistic").truncate(x) == 2**20).double().mean()) == 1
    )


def test_one_seed_gives_one_result() -> None:
    x = integers(1000, 40)
    assert torch.equal(Ring(seed=3).truncate(x), Ring(seed=3).truncate(x))
    assert not torch.equal(Ring(seed=3).truncate(x), Ring(seed=4).truncate(x))


def test_comparing_few_bits_errs_near_zero_and_beyond_the_window() -> None:
    ring = Ring()
    x = integers(20_000, 21, seed=9)
    assert torch.equal(ring.negative(x), x < 0)
    assert torch.equal(ring.negative(x, (0, 23)), x < 0)
    wrong = ring.negative(x, (12, 11)) != (x < 0)
    assert int(wrong.sum()) > 0
    assert int(x[wrong].abs().max()) <= 2**12
    # Of the values nearest to zero, those in one unit of the lowest bit, some are taken for
    # negative: the carry from below is lost.
    small = torch.full((20_000,), 2**10)
    assert float(ring.negative(small, (12, 11)).double().mean()) == pytest.approx(0.75, abs=0.02)
    beyond = torch.full((100,), 2**23 + 2**21)
    assert bool(ring.negative(beyond, (12, 12)).all())


def test_a_window_ends_with_the_ring() -> None:
    x = integers(5000, 30, seed=9)  # not the seed of the shares
    found = Ring(32, 8).negative(x, (24, 30)) != (x < 0)
    assert int(found.sum()) > 0
    assert int(x[found].abs().max()) <= 2**24


@pytest.mark.parametrize(
    ("bits", "fraction", "message"),
    [(65, 16, "8 to 64 bits"), (4, 1, "8 to 64 bits"), (16, 16, "0 to 15 fraction bits")],
)
def test_impossible_rings_are_refused(bits: int, fraction: int, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Ring(bits, fraction)


def test_weights_that_cannot_be_multiplied_exactly_are_refused() -> None:
    with pytest.raises(ConfigError, match="too large to multiply exactly"):
        Ring().linear(lambda a, b: a @ b.T, integers(4, 5).view(1, 4), integers(4, 60).view(1, 4))
