"""A small convolutional network as sites, and modes of it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from search.api.network import Site
from spaces.eve.family import Execution, LayerMode, ModeFamily, ModePlan


def conv(name: str, channels: int, filters: int, side: int, groups: int = 1) -> Site:
    attributes = {"kernel": 3, "stride": 1, "padding": 1, "groups": groups}
    weights = channels * filters * 9 // groups
    return Site(name, "conv", "conv", (channels, side, side), (filters, side, side),
                weights * side * side, weights, attributes)  # fmt: skip


def pool(name: str, channels: int, side: int) -> Site:
    attributes = {"kernel": 2, "stride": 2, "padding": 0}
    after = (channels, side // 2, side // 2)
    return Site(name, "pool", "maxpool", (channels, side, side), after, attributes=attributes)


CHAIN = (
    conv("conv1", 1, 16, 14), pool("pool1", 16, 14),
    Site("relu1", "activation", "relu", (16, 7, 7), (16, 7, 7)),
    conv("conv2", 16, 32, 7), pool("pool2", 32, 7),
    Site("classifier", "linear", "linear", (288,), (10,), 2880, 2880),
)  # fmt: skip


@pytest.fixture
def sites() -> tuple[Site, ...]:
    """conv1, pool1, relu1, conv2, pool2, classifier on 14 x 14 images."""
    return CHAIN


@pytest.fixture
def make_mode() -> Callable[..., ModePlan]:
    """A mode that keeps so many positions of nine, and of the classifier all runs."""

    def made(
        level: int = 1, kept: int = 9, *, bits: int = 16, unit: str = "pattern",
        order: str = "reuse_O", batch: int = 1, tile: tuple[int, int, int, int] = (7, 7, 2, 16),
    ) -> ModePlan:  # fmt: skip
        execution = Execution(*tile, order, batch)
        layers = []
        for name, filters in (("conv1", 16), ("conv2", 32)):
            if unit == "filter":
                layers.append(
                    LayerMode(name, "filter", max(1, filters * kept // 9), filters, execution)
                )
            else:
                layers.append(LayerMode(name, "pattern", kept, 9, execution))
        last = Execution(1, 1, 10, 32, order, 1)
        layers.append(LayerMode("classifier", "block", 10 * kept, 90, last))
        return ModePlan(level, tuple(layers), bits)

    return made


@pytest.fixture
def family(make_mode: Callable[..., ModePlan]) -> ModeFamily:
    """Three modes of 3, 5 and 9 positions."""
    return ModeFamily(tuple(make_mode(k, kept) for k, kept in enumerate((3, 5, 9), start=1)))
