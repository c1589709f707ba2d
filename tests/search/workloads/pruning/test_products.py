import pytest
import torch
from torch import nn

from search.workloads.pruning import products

KNOWN = torch.tensor([True, False, True, False])
VALUE = torch.tensor([2.0, 0.0, -0.5, 0.0], dtype=torch.float64)


def maps(known: torch.Tensor, value: torch.Tensor, *sides: int) -> torch.Tensor:
    """Random maps in which the known channels are constant."""
    shape = (2, len(known), *sides)
    wide = (1, -1, *(1,) * len(sides))
    x = torch.randn(shape, generator=torch.Generator().manual_seed(3))
    return torch.where(known.reshape(wide), value.float().reshape(wide), x)


LAYERS = [
    nn.Conv2d(4, 6, 3),
    nn.Conv2d(4, 6, 3, groups=2),
    nn.Conv2d(4, 8, 3, groups=4, bias=False),
    nn.Conv2d(4, 6, 3, padding=1, padding_mode="replicate"),
    nn.Linear(4, 6),
]


@pytest.mark.parametrize("layer", LAYERS, ids=repr)
def test_what_is_absorbed_is_what_the_bias_must_hold(layer: products.Product) -> None:
    x = maps(KNOWN, VALUE, *(() if isinstance(layer, nn.Linear) else (5, 5)))
    with torch.no_grad():
        before = layer(x)
        which = products.absorbable(layer, KNOWN, VALUE)
        delta = products.absorb(layer, which, VALUE)
        after = layer(x) + delta.float().reshape(1, -1, *(1,) * (x.ndim - 2))
    assert torch.allclose(before, after, atol=1e-6)
    assert bool((delta != 0).any())
    assert not layer.weight[which].any()


def test_filters_that_read_constants_alone_are_constant() -> None:
    layer = nn.Conv2d(4, 3, 3)
    with torch.no_grad():
        layer.weight[0] = 0
        layer.weight[1, [1, 3]] = 0
    known, value = products.constants(layer, KNOWN, VALUE)
    assert known.tolist() == [True, True, False]
    out = layer(maps(KNOWN, VALUE, 5, 5))
    assert torch.allclose(out[:, 1], torch.full_like(out[:, 1], value[1].item()), atol=1e-6)
    assert layer.bias is not None
    assert float(value[0]) == pytest.approx(layer.bias[0].item())
    assert float(value[2]) == 0


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, False),
        ({"padding": 1}, True),
        ({"padding": (0, 1)}, True),
        ({"padding": "same"}, True),
        ({"padding": "valid"}, False),
        ({"padding": 1, "padding_mode": "circular"}, False),
    ],
)
def test_padding_with_zeros_alone_breaks_constants(options: dict[str, str], expected: bool) -> None:
    assert products.padded(nn.Conv2d(4, 3, 3, **options)) is expected  # type: ignore[arg-type]


def test_at_padded_borders_only_zero_is_constant() -> None:
    layer = nn.Conv2d(4, 3, 3, padding=1)
    which = products.absorbable(layer, KNOWN, torch.tensor([2.0, 0, 0, 0]))
    assert which.any(0).tolist() == [False, False, True, False]


def test_merging_is_exact_at_padded_borders() -> None:
    layer = nn.Conv2d(4, 3, 3, padding=1)
    x = maps(KNOWN, VALUE, 5, 5)
    with torch.no_grad():
        before = layer(x)
        products.merge(layer, KNOWN, VALUE)
        assert torch.allclose(layer(x), before, atol=1e-6)
    assert products.used(layer).any(0).tolist() == [True, True, False, True]


def test_which_inputs_filters_read() -> None:
    layer = nn.Conv2d(4, 4, 1, groups=2)
    with torch.no_grad():
        layer.weight[0, 0] = 0
    needed = torch.tensor([True, False, False, True])
    assert products.reads(layer, needed).tolist() == [False, True, True, True]
    assert products.taps(layer).tolist() == [[0, 1], [0, 1], [2, 3], [2, 3]]
