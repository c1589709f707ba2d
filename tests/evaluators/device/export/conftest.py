"""Families in integers, of real images and of chance."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from search.workloads.canonical import canonicalise
from search.workloads.eve.integer import IntegerFamily
from search.workloads.eve.integer_quantise import quantise_family
from search.workloads.nested import NestedWeights, levels_of, private_state, shared_weights
from spaces.eve.family import ORDERS, Execution

Maker = Callable[..., IntegerFamily]


def field(shape: torch.Size, unit: str, modes: int, block: int, rng: random.Random) -> Tensor:
    """A random level field whose units are whole."""
    generator = torch.Generator().manual_seed(rng.randrange(2**31))

    def levels(count: int, dropped: bool = True) -> Tensor:
        counts = sorted(rng.randint(1, count) for _ in range(modes))
        order = torch.randperm(count, generator=generator)
        return levels_of(order, counts if dropped else [*counts[:-1], count])

    if unit == "filter":
        return levels(shape[0]).view(-1, *[1] * (len(shape) - 1)).expand(shape).clone()
    if unit == "pattern":
        positions = shape[2] * shape[3]
        counts = sorted(rng.randint(1, positions) for _ in range(modes))
        pool = [levels_of(torch.randperm(positions, generator=generator), counts) for _ in range(3)]
        rows = torch.stack([rng.choice(pool) for _ in range(shape[0])])
        return rows.view(shape[0], 1, *shape[2:]).expand(shape).clone()
    if unit == "block":
        blocks = -(-shape[1] // block)
        rows = levels(shape[0] * blocks).view(shape[0], blocks)
        return rows.repeat_interleave(block, dim=1)[:, : shape[1]].clone()
    return torch.randint(0, modes + 1, shape, dtype=torch.uint8, generator=generator)


def nested(
    network: nn.Module, units: dict[str, tuple[str, int]], modes: int, rng: random.Random
) -> NestedWeights:
    """Weights of ``network`` with random levels and biases of each mode's own."""
    shared = {n: w.detach().clone() for n, w in shared_weights(network).items()}
    levels = {}
    for name, value in shared.items():
        unit, block = units.get(name.removesuffix(".weight"), ("weight", 0))
        levels[name] = field(value.shape, unit, modes, block, rng)
    own = private_state(network)
    private = tuple({n: v + 0.05 * k for n, v in own.items()} for k in range(modes))
    densities = tuple((k + 1) / modes for k in range(modes))
    return NestedWeights(densities, shared, levels, {}, private)


def tiles(
    network: nn.Module, units: dict[str, tuple[str, int]], modes: int, rng: random.Random
) -> list[dict[str, Execution]]:
    """Random schedules, each mode its own; blocks keep their length."""
    found = []
    for _ in range(modes):
        sizes = {}
        for name in shared_weights(network):
            site = name.removesuffix(".weight")
            unit, block = units.get(site, ("weight", 0))
            channels = block if unit == "block" else rng.randint(1, 9)
            sizes[site] = Execution(
                rng.randint(1, 9), rng.randint(1, 9), rng.randint(1, 9), channels,
                rng.choice(ORDERS), rng.randint(1, 3),
            )  # fmt: skip
        found.append(sizes)
    return found


def convolution(shape: torch.Size, rng: random.Random) -> list[nn.Module]:
    """A random convolution on maps of ``shape`` with ReLU and perhaps a pool behind it."""
    large = min(shape[1:]) > 4
    kernel = (rng.randint(1, min(3, shape[1])), rng.randint(1, min(3, shape[2])))
    conv = nn.Conv2d(
        shape[0], rng.randint(1, 9), kernel, padding=(rng.randint(0, 2), rng.randint(0, 2)),
        stride=(rng.randint(1, 2), rng.randint(1, 2)) if large else 1, bias=rng.random() < 0.8,
    )  # fmt: skip
    sides = conv(torch.zeros(1, *shape)).shape[2:]
    pools = [
        nn.MaxPool2d(2, 1, 1), nn.MaxPool2d((2, 1), ceil_mode=True), nn.AvgPool2d(2, 1),
        nn.AvgPool2d(3, 2, 1, count_include_pad=False), nn.AvgPool2d((1, 3), 1, (0, 1)),
    ]  # fmt: skip
    behind = [nn.ReLU(), rng.choice(pools) if min(sides) > 2 else nn.Identity()]
    rng.shuffle(behind)
    return [conv, *behind]


@pytest.fixture
def random_family() -> Callable[[int, int], tuple[IntegerFamily, Tensor]]:
    """``(seed, bits)`` -> a random family and images for it."""

    def make(seed: int, bits: int, sum_bits: int | None = None) -> tuple[IntegerFamily, Tensor]:
        rng = random.Random(seed)
        torch.manual_seed(seed)
        shape = (rng.randint(1, 3), rng.randint(7, 11), rng.randint(7, 11))
        layers: list[nn.Module] = []
        units: dict[str, tuple[str, int]] = {}
        for _ in range(rng.randint(1, 3)):
            units[str(len(layers))] = (rng.choice(("pattern", "filter", "weight")), 0)
            layers += convolution(nn.Sequential(*layers)(torch.zeros(1, *shape)).shape[1:], rng)
        layers.append(nn.Flatten())
        inputs = nn.Sequential(*layers)(torch.zeros(1, *shape)).shape[1]
        for _ in range(rng.randint(0, 2)):
            width = rng.randint(2, 12)
            unit = rng.choice(("block", "filter", "weight"))
            units[str(len(layers))] = (unit, rng.randint(1, 6))
            layers += [nn.Linear(inputs, width), nn.ReLU()]
            inputs = width
        if rng.random() < 0.7:
            units[str(len(layers))] = ("block", rng.randint(1, 6))
            layers.append(nn.Linear(inputs, 4))
        network = canonicalise(nn.Sequential(*layers), shape)
        modes = rng.choice((1, 2, 3, 4))
        weights = nested(network, units, modes, rng)
        images = torch.randn(12, *shape, generator=torch.Generator().manual_seed(seed))
        family = quantise_family(
            network, weights, images, bits=bits, sum_bits=sum_bits, units=units,
            tiles=tiles(network, units, modes, rng) if seed % 4 else (),
        )  # fmt: skip
        return family, images * 1.3  # some inputs saturate

    return make


@pytest.fixture
def family_of() -> Callable[..., Any]:
    """``(network, images, units, modes, bits, seed)`` -> a family with random levels."""

    def make(
        network: nn.Module, images: Tensor, units: dict[str, tuple[str, int]], *,
        modes: int = 3, bits: int = 8, seed: int = 0,
    ) -> IntegerFamily:  # fmt: skip
        rng = random.Random(seed)
        weights = nested(network, units, modes, rng)
        return quantise_family(
            network, weights, images, bits=bits, units=units,  # type: ignore[arg-type]
            tiles=tiles(network, units, modes, rng),
        )  # fmt: skip

    return make
