from typing import Any

import pytest

from search.api.errors import ConfigError
from spaces.pruning.agreement import agreement
from spaces.pruning.layout import Layout, lay_out, units_kept
from spaces.pruning.options import alternatives
from spaces.pruning.units import layers_of


def made(network: Any, structure: Any, **options: Any) -> Layout:
    layers = layers_of(network.sites())
    given, named = alternatives(structure, [layer.name for layer in layers])
    agree = agreement(network.sites(), network.links())
    return lay_out(layers, given, agree, named=named, **options)


def test_each_layer_has_an_entry(lenet: Any) -> None:
    layout = made(lenet, "element")
    assert layout.slots == ("conv1", "conv2", "fc1", "fc2")
    assert (layout.whole, layout.total) == (0, 430_500)


def test_the_last_layer_keeps_its_filters(lenet: Any) -> None:
    layout = made(lenet, "filter")
    assert layout.slots == ("conv1", "conv2", "fc1")
    assert layout.whole == 5_000
    with pytest.raises(ConfigError, match=r"space\.structure\.fc2: cannot be pruned by filter: "
                       "its filters are the network's outputs"):  # fmt: skip
        made(lenet, {"fc2": "filter"})


def test_filters_that_must_agree_share_an_entry_but_not_columns(residual: Any) -> None:
    layout = made(residual, ["filter", "column"])
    assert layout.slots == (
        "stem=b=depthwise/filter", "stem/column", "a/filter", "a/column", "b/column",
        "depthwise/column", "point/filter", "point/column", "classifier",
    )  # fmt: skip
    pieces = {p.layer.name: p.ways[0] for p in layout.layers}
    assert pieces["stem"][0].slot == pieces["b"][0].slot == pieces["depthwise"][0].slot == 0
    assert pieces["b"][1].slot == 4


def test_one_structure_is_chosen_for_layers_that_agree(residual: Any) -> None:
    layout = made(residual, {"search": ["filter", "column"]})
    assert layout.blocks == ("stem=b=depthwise", "a", "point")  # the classifier has no choice
    by_name = {p.layer.name: p for p in layout.layers}
    assert by_name["classifier"].names == ("column",)
    # By filter they share the first one's entry; by column each has its own.
    assert by_name["b"].ways[0][0].slot == by_name["stem"].ways[0][0].slot
    assert by_name["b"].ways[1][0].slot != by_name["stem"].ways[1][0].slot


def test_layers_that_agree_but_differ_otherwise_lose_filters_all(residual: Any) -> None:
    layout = made(residual, {"stem": {"search": ["filter", "nm"]}, "*": "filter"})
    assert next(p for p in layout.layers if p.layer.name == "stem").names == ("filter",)


def test_a_partner_that_stays_whole_keeps_the_filters_of_all(residual: Any) -> None:
    assert made(residual, "filter", skip={"stem"}).slots == ("a", "point")
    assert made(residual, ["filter", "column"], fixed={"stem": 1.0}).slots[:2] == (
        "a/filter", "a/column"
    )  # fmt: skip
    with pytest.raises(ConfigError, match=r"space\.structure\.b: .*must agree with stem, which k"):
        made(residual, {"b": "filter", "a": "filter"})


def test_structures_without_units_are_left_out_but_not_where_named(lenet: Any) -> None:
    assert made(lenet, "pattern").slots == ("conv1", "conv2")
    assert made(lenet, "nm").slots == ("conv2", "fc1", "fc2")
    with pytest.raises(ConfigError, match=r"conv1: cannot be pruned by nm: 1 input channels"):
        made(lenet, {"conv1": "nm"})


def test_fixed_shares(lenet: Any) -> None:
    layout = made(lenet, "element", fixed={"conv1": 1.0, "conv2": 0.25})
    assert layout.slots == ("fc1", "fc2")
    assert [p.layer.name for p in layout.layers] == ["conv2", "fc1", "fc2"]
    piece = layout.layers[0].ways[0][0]
    assert (piece.slot, piece.kept) == (None, 6250)
    layout = made(lenet, ["filter", "column"], fixed={"conv2": {"filter": 0.5}})
    assert "conv2/column" in layout.slots
    assert "conv2/filter" not in layout.slots


def test_a_fixed_share_holds_for_all_that_agree(residual: Any) -> None:
    layout = made(residual, "filter", fixed={"b": 0.5})
    assert [p.ways[0][0].kept for p in layout.layers if p.layer.name == "stem"] == [4]
    with pytest.raises(ConfigError, match=r"must keep equally many filters \(got 0.25, 0.5\)"):
        made(residual, "filter", fixed={"b": 0.5, "stem": 0.25})


@pytest.mark.parametrize(
    ("structure", "fixed", "message"),
    [
        (["filter", "column"], {"conv2": 0.5}, r"space\.fixed\.conv2: with several structures"),
        ("filter", {"conv2": {"column": 0.5}}, r"it is not pruned by column \(but by filter\)"),
        ({"search": ["filter", "nm"]}, {"conv2": 0.5}, "with several structures expected 1.0"),
    ],
)
def test_fixed_shares_that_cannot_be(
    lenet: Any, structure: Any, fixed: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        made(lenet, structure, fixed=fixed)


def test_one_entry_for_all(lenet: Any) -> None:
    layout = made(lenet, "element", shared=True)
    assert layout.slots == ("network",)
    assert {p.ways[0][0].slot for p in layout.layers} == {0}


def test_at_least_one_unit_stays() -> None:
    assert [units_kept(s, 10) for s in (0.001, 0.14, 0.15, 1.0)] == [1, 1, 2, 10]
