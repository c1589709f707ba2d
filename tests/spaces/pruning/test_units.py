import dataclasses
from typing import Any

import pytest

from search.api.errors import ConfigError
from spaces.pruning.units import Layer, combined, layers_of, positions_of


def test_layers_are_matrices_of_a_row_for_each_filter(lenet: Any) -> None:
    conv1, conv2, fc1, fc2 = layers_of(lenet.sites())
    assert conv2 == Layer("conv2", 50, 20, 25, 64)
    assert (conv2.columns, conv2.weights, fc1.weights) == (500, 25_000, 400_000)
    assert sum(layer.weights for layer in (conv1, conv2, fc1, fc2)) == 430_500


def test_units_of_each_structure(lenet: Any) -> None:
    conv2 = layers_of(lenet.sites())[1]
    counts = [conv2.units(s) for s in ("element", "filter", "column", "channel", "pattern", "nm")]
    assert counts == [25_000, 50, 500, 20, 25, 4]


def test_what_cannot_be_dropped_says_why(lenet: Any) -> None:
    conv1, conv2, fc1, _ = layers_of(lenet.sites())
    assert conv1.lacks("channel") == "it has 1 of them"
    assert conv1.lacks("nm") == "1 input channels are no multiple of 4"
    assert fc1.lacks("pattern") == "it has 1 of them"
    assert not conv2.lacks("nm")
    assert not conv2.lacks("pattern")


def test_depthwise_layers_read_one_channel(residual: Any) -> None:
    layer = next(x for x in layers_of(residual.sites()) if x.name == "depthwise")
    assert (layer.rows, layer.inputs, layer.positions, layer.pixels) == (8, 1, 9, 64)


def test_repeated_transposed_and_foreign_layers_are_left_out(lenet: Any) -> None:
    conv2 = lenet.sites()[2]
    again = dataclasses.replace(conv2, name="conv2#1")
    transposed = dataclasses.replace(conv2, name="up", macs=conv2.weights * 144)
    functional = dataclasses.replace(conv2, name="conv2d", attributes={})
    assert [x.name for x in layers_of((conv2, again, transposed, functional))] == ["conv2"]


def test_kernels_may_be_oblong(lenet: Any) -> None:
    site = dataclasses.replace(lenet.sites()[2], attributes={"kernel_h": 1, "kernel_w": 5})
    assert positions_of(site) == 5


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["row"], r"here: unknown structure 'row' \(known: element, filter"),
        (["filter", "filter"], "expected different structures"),
        ([], "expected different structures"),
        (["element", "filter"], "element and filter do not go together.*filter.channel.pattern"),
        (["column", "channel"], "do not go together"),
    ],
)
def test_structures_that_do_not_go_together(names: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        combined(names, "here")


def test_filters_come_first() -> None:
    assert combined(["column", "filter"], "") == ("filter", "column")
    assert combined(["pattern", "channel", "filter"], "") == ("filter", "channel", "pattern")
