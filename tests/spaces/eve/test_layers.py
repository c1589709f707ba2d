from __future__ import annotations

import pytest

from search.api.errors import ConfigError
from search.api.network import Site
from spaces.eve.layers import Layer, count, layers_of

CONV = Site("conv", "conv", "conv", (4, 8, 8), (8, 6, 5), 0, 8 * 2 * 9,
            {"kernel": 3, "stride": 1, "padding": 0, "groups": 2})  # fmt: skip
POINT = Site("point", "conv", "conv", (8, 6, 5), (16, 6, 5), 0, 8 * 16, {"kernel": 1})
POOL = Site("pool", "pool", "maxpool", (16, 6, 5), (16, 3, 2))
LINEAR = Site("fc", "linear", "linear", (96,), (10,), 0, 960)


def test_shapes_and_units() -> None:
    conv, point, linear = layers_of([CONV, POINT, POOL, LINEAR])
    assert conv == Layer("conv", 8, 2, 9, 6, 5, linear=False)
    assert linear == Layer("fc", 10, 96, 1, 1, 1, linear=True)
    assert [x.unit for x in (conv, point, linear)] == ["pattern", "filter", "block"]
    assert conv.units("pattern", 2) == 9
    assert conv.units("filter", 2) == 8
    assert linear.units("block", 32) == 30
    assert linear.units("block", 40) == 30  # the last block of an output is shorter


def test_tiles_are_no_larger_than_the_layer() -> None:
    conv, _, linear = layers_of([CONV, POINT, POOL, LINEAR])
    tile = conv.execution(7, 16, 32, "reuse_W", 2)
    assert (tile.rows, tile.columns, tile.filters, tile.channels) == (6, 5, 8, 2)
    assert (tile.order, tile.batch) == ("reuse_W", 2)
    assert linear.execution(7, 4, 32, "reuse_I", 1).rows == 1


def test_counts_are_at_least_one() -> None:
    assert [count(s, 9) for s in (0.0, 0.05, 0.5, 5 / 9, 1.0)] == [1, 1, 5, 5, 9]


@pytest.mark.parametrize(
    ("sites", "match"),
    [
        ([POOL], "neither convolutions nor linear layers"),
        ([CONV, Site("conv#1", "conv", "conv", (4, 8, 8), (8, 6, 5), 0, 144)], "twice"),
        ([Site("c", "conv", "conv", (4, 8), (8, 6), 0, 96)], "rows and columns"),
        ([Site("l", "linear", "linear", (5, 8), (5, 6), 0, 48)], "one vector"),
    ],
)
def test_networks_that_do_not_fit_are_refused(sites: list[Site], match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        layers_of(sites)
