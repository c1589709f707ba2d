"""Networks as spaces of pruning ratios see them: sites and links."""

from collections.abc import Mapping
from dataclasses import dataclass

import pytest

from search.api.network import Site


@dataclass(frozen=True)
class Network:
    """A workload as far as a space sees it."""

    found: tuple[Site, ...]
    read: Mapping[str, tuple[str, ...]]

    def sites(self) -> tuple[Site, ...]:
        return self.found

    def links(self) -> Mapping[str, tuple[str, ...]]:
        return self.read


def conv(name: str, before: int, after: int, side: int, kernel: int, groups: int = 1) -> Site:
    weights = after * before // groups * kernel**2
    return Site(
        name, "conv", "conv", (before, side, side), (after, side, side), weights * side**2,
        weights, {"kernel": kernel, "stride": 1, "padding": kernel // 2, "groups": groups},
    )  # fmt: skip


def linear(name: str, before: int, after: int) -> Site:
    return Site(name, "linear", "linear", (before,), (after,), before * after, before * after)


def same(name: str, kind: str, operator: str, shape: tuple[int, ...]) -> Site:
    return Site(name, kind, operator, shape, shape)  # type: ignore[arg-type]


def chain(*sites: Site) -> Network:
    names = [site.name for site in sites]
    return Network(sites, {n: (names[i - 1],) if i else () for i, n in enumerate(names)})


@pytest.fixture
def lenet() -> Network:
    """LeNet-5 of the papers on pruning: 430,500 weights."""
    return chain(
        Site("conv1", "conv", "conv", (1, 28, 28), (20, 24, 24), 500 * 576, 500,
             {"kernel": 5, "stride": 1, "padding": 0, "groups": 1}),
        same("relu1", "activation", "relu", (20, 12, 12)),
        Site("conv2", "conv", "conv", (20, 12, 12), (50, 8, 8), 25000 * 64, 25000,
             {"kernel": 5, "stride": 1, "padding": 0, "groups": 1}),
        same("relu2", "activation", "relu", (50, 4, 4)),
        linear("fc1", 800, 500),
        same("relu3", "activation", "relu", (500,)),
        linear("fc2", 500, 10),
    )  # fmt: skip


@pytest.fixture
def residual() -> Network:
    """A block with a shortcut, a depthwise convolution, and a classifier."""
    sites = (
        conv("stem", 3, 8, 8, 3),
        same("relu", "activation", "relu", (8, 8, 8)),
        conv("a", 8, 16, 8, 3),
        same("bn", "norm", "batchnorm", (16, 8, 8)),
        conv("b", 16, 8, 8, 3),
        same("add", "add", "add", (8, 8, 8)),
        conv("depthwise", 8, 8, 8, 3, groups=8),
        conv("point", 8, 12, 8, 1),
        same("pool", "other", "globalavgpool", (12, 8, 8)),
        linear("classifier", 12, 10),
    )
    links = {
        "stem": (), "relu": ("stem",), "a": ("relu",), "bn": ("a",), "b": ("bn",),
        "add": ("relu", "b"), "depthwise": ("add",), "point": ("depthwise",),
        "pool": ("point",), "classifier": ("pool",),
    }  # fmt: skip
    return Network(sites, links)


@pytest.fixture
def deep() -> Network:
    """50 convolutions of rising width."""
    widths = [8 + 4 * (i // 5) for i in range(51)]
    return chain(*(conv(f"conv{i}", widths[i], widths[i + 1], 8, 3) for i in range(50)))
