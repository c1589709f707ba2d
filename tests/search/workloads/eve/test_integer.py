from __future__ import annotations

import pytest
import torch
from torch import nn

from search.api.errors import EvaluationError
from search.workloads.canonical import canonicalise
from search.workloads.eve.integer import IntegerFamily
from search.workloads.eve.integer_quantise import quantise_family
from search.workloads.nested import NestedWeights, private_state, shared_weights

SHAPE = (1, 6, 6)


def family(*tail: nn.Module, bits: int = 8) -> IntegerFamily:
    torch.manual_seed(0)
    network = canonicalise(nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), *tail), SHAPE)
    shared = {n: w.detach() for n, w in shared_weights(network).items()}
    levels = {n: torch.randint(0, 3, w.shape, dtype=torch.uint8) for n, w in shared.items()}
    own = private_state(network)
    private = (own, {n: v + 0.25 for n, v in own.items()})
    weights = NestedWeights((0.5, 1.0), shared, levels, {}, private)
    images = torch.randn(30, *SHAPE)
    return quantise_family(network, weights, images, bits=bits)


def test_a_mode_by_hand() -> None:
    """Convolution, rounding shift, saturation, ReLU, pool and linear layer with Python's ints."""
    made = family(nn.MaxPool2d(2), nn.Flatten(), nn.Linear(8, 3))
    x = made.quantise(torch.randn(1, *SHAPE) * 3)
    for mode in (1, 2):
        conv, linear = made.layers["0"], made.layers["4"]
        maps = []
        for m in range(2):
            for r in range(4):
                for c in range(4):
                    total = int(conv.bias[mode - 1, m])
                    for i in range(3):
                        for j in range(3):
                            if 0 < int(conv.level[m, 0, i, j]) <= mode:
                                total += int(conv.weight[m, 0, i, j]) * int(x[0, 0, r + i, c + j])
                    shifted = (total + (1 << (conv.shift - 1))) >> conv.shift
                    maps.append(max(0, min(127, max(-128, shifted))))
        pooled = [
            max(maps[16 * m + 4 * (2 * r + i) + 2 * c + j] for i in (0, 1) for j in (0, 1))
            for m in range(2) for r in range(2) for c in range(2)
        ]  # fmt: skip
        expected = [
            int(linear.bias[mode - 1, o])
            + sum(
                int(linear.weight[o, k]) * v
                for k, v in enumerate(pooled)
                if 0 < int(linear.level[o, k]) <= mode
            )
            for o in range(3)
        ]
        assert made.run(mode, x)[0].tolist() == expected


def test_the_last_layer_gives_its_sums_unless_something_follows() -> None:
    ends = family(nn.Flatten(), nn.Linear(32, 3))
    assert ends.raw == "3"
    layer = ends.layers["3"]
    assert ends.output_fraction == layer.weight_fraction + layer.input_fraction
    assert layer.shift == 0
    pooled = family(nn.Conv2d(2, 3, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    assert pooled.raw is None
    found = pooled.run(2, pooled.quantise(torch.randn(5, *SHAPE)))
    assert found.shape == (5, 3)
    assert bool((found.abs() <= 128).all())
    assert pooled.output_fraction == pooled.layers["2"].output_fraction


def test_one_mode_alone_computes_the_same() -> None:
    made = family(nn.Flatten(), nn.Linear(32, 3))
    x = made.quantise(torch.randn(4, *SHAPE))
    for mode in (1, 2):
        alone = made.only(mode)
        assert alone.modes == 1
        assert torch.equal(alone.run(1, x), made.run(mode, x))
        assert int(alone.layers["0"].level.max()) <= 1


def test_modes_differ_and_others_are_refused() -> None:
    made = family(nn.Flatten(), nn.Linear(32, 3))
    x = made.quantise(torch.randn(4, *SHAPE))
    assert not torch.equal(made.run(1, x), made.run(2, x))
    for mode in (0, 3):
        with pytest.raises(EvaluationError, match="no mode"):
            made.run(mode, x)
        with pytest.raises(EvaluationError, match="no mode"):
            made.only(mode)


def test_inputs_are_saturated_integers() -> None:
    made = family(nn.Flatten(), nn.Linear(32, 3))
    found = made.quantise(torch.tensor([1e6, -1e6, 0.0]))
    assert found.tolist() == [127, -128, 0]
    assert found.dtype == torch.int64


def test_sums_are_as_wide_as_the_widest_layer() -> None:
    assert family(nn.Flatten(), nn.Linear(32, 3)).sum_bits == 32
    wide = family(nn.Flatten(), nn.Linear(32, 3), bits=16)
    assert wide.sum_bits == max(layer.sum_bits for layer in wide.layers.values())
