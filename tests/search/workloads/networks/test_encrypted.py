from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from search.api.errors import ConfigError
from search.workloads.canonical import canonicalise, trace_sites
from search.workloads.networks import encrypted
from search.workloads.square import Square

SHAPE = (1, 28, 28)
IMAGE = (3, 32, 32)


def layers(network: nn.Module, shape: tuple[int, int, int]) -> list[tuple[Any, ...]]:
    sites = trace_sites(canonicalise(network, shape), shape)
    return [s.output_shape for s in sites if s.kind in ("conv", "linear")]


@pytest.mark.parametrize(
    ("factory", "expected"),
    [
        (encrypted.ckks_mlp, [(128,), (128,), (10,)]),
        (encrypted.ckks_lola, [(5, 13, 13), (100,), (10,)]),
        (encrypted.ckks_lenet, [(32, 14, 14), (64, 7, 7), (512,), (10,)]),
        (encrypted.ckks_cnn6, [(8, 14, 14), (8, 14, 14), (16, 7, 7), (10,)]),
    ],
)
def test_sizes(factory: Callable[..., nn.Module], expected: list[tuple[int, ...]]) -> None:
    assert layers(factory(SHAPE, 10), SHAPE) == expected


def test_features_of_lola_and_lenet_are_orions() -> None:
    assert encrypted.ckks_lola(SHAPE, 10).get_submodule("linear2").in_features == 845
    assert encrypted.ckks_lenet(SHAPE, 10).get_submodule("linear3").in_features == 3136


def test_alexnet() -> None:
    network = encrypted.ckks_alexnet(IMAGE, 10, width=4, hidden=8)
    assert layers(network, IMAGE) == [
        (4, 16, 16), (12, 8, 8), (24, 4, 4), (16, 4, 4), (16, 4, 4), (8,), (8,), (10,),
    ]  # fmt: skip
    assert sum(isinstance(m, nn.SiLU) for m in network.modules()) == 7


@pytest.mark.parametrize("factory", [encrypted.ckks_mlp, encrypted.ckks_lola, encrypted.ckks_cnn6])
@pytest.mark.parametrize(
    ("activation", "kind"), [("square", Square), ("relu", nn.ReLU), ("silu", nn.SiLU)]
)
def test_activations(factory: Any, activation: str, kind: type[nn.Module]) -> None:
    network = factory(SHAPE, 10, activation=activation, batch_norm=False)
    assert sum(isinstance(m, kind) for m in network.modules()) == 2
    assert not any(isinstance(m, (nn.BatchNorm1d, nn.BatchNorm2d)) for m in network.modules())


@pytest.mark.parametrize(("activation", "count"), [("square", 10), ("silu", 19), ("relu", 19)])
def test_resnet20_squares_no_shortcut(activation: Any, count: int) -> None:
    network = encrypted.ckks_resnet20(IMAGE, 10, width=4, activation=activation)
    sites = trace_sites(canonicalise(network, IMAGE), IMAGE)
    assert [s.operator for s in sites if s.kind == "activation"] == [activation] * count


def test_squares_stay_of_one_size_at_the_start() -> None:
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(0)
        x = torch.randn(16, *IMAGE)
        for factory in (encrypted.ckks_resnet20, encrypted.ckks_lenet, encrypted.ckks_mlp):
            with torch.no_grad():
                assert float(factory(IMAGE, 10).train()(x).abs().max()) < 100


def test_too_small_images() -> None:
    with pytest.raises(ConfigError, match="ckks_lenet: images of 0x1 are too small"):
        encrypted.ckks_lenet((1, 0, 1), 10)


def test_widths_are_checked() -> None:
    with pytest.raises(ConfigError, match="channels"):
        encrypted.ckks_lola(SHAPE, 10, channels=0)
