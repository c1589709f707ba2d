import dataclasses
from typing import Any

from search.api.network import Site
from spaces.pruning.agreement import agreement


def found(network: Any) -> Any:
    return agreement(network.sites(), network.links())


def test_a_chain_has_no_groups_and_a_last_layer(lenet: Any) -> None:
    made = found(lenet)
    assert made.groups == ()
    assert made.frozen == {"fc2": "its filters are the network's outputs"}


def test_shortcuts_and_depthwise_convolutions_agree(residual: Any) -> None:
    made = found(residual)
    assert made.groups == (("stem", "b", "depthwise"),)
    assert set(made.frozen) == {"classifier"}


def test_a_sum_with_the_input_freezes(residual: Any) -> None:
    links = {**residual.links(), "add": ("b",)}
    made = agreement(residual.sites(), links)
    assert set(made.frozen) == {"b", "depthwise", "classifier"}
    assert "must agree with b" in made.frozen["depthwise"]


def test_concatenated_channels_freeze_where_they_are_added(residual: Any) -> None:
    # `bn` reads stem and a side by side, so three layers' channels meet in the sum.
    links = {**residual.links(), "bn": ("stem", "a"), "add": ("bn", "b")}
    assert set(agreement(residual.sites(), links).frozen) >= {"stem", "a", "b"}


def test_layers_of_other_widths_freeze(residual: Any) -> None:
    links = {**residual.links(), "add": ("a", "b")}
    assert set(agreement(residual.sites(), links).frozen) >= {"a", "b"}


def test_convolutions_in_groups_freeze_themselves_and_what_they_read(residual: Any) -> None:
    sites = tuple(
        dataclasses.replace(s, attributes={**s.attributes, "groups": 2}) if s.name == "a" else s
        for s in residual.sites()
    )
    made = agreement(sites, residual.links())
    assert "convolution of 2 groups" in made.frozen["stem"]
    assert "convolution of 2 groups" in made.frozen["a"]


def test_channels_scaled_by_an_excitation_agree() -> None:
    conv = Site("conv", "conv", "conv", (3, 4, 4), (8, 4, 4), 216 * 16, 216, {"groups": 1})
    sites = (
        conv,
        Site("pool", "other", "globalavgpool", (8, 4, 4), (8, 1, 1)),
        Site("squeeze", "linear", "linear", (8,), (8,), 64, 64),
        Site("gate", "other", "sigmoid", (8,), (8,)),
        Site("mul", "other", "mul", (8, 4, 4), (8, 4, 4)),
        Site("fc", "linear", "linear", (8,), (2,), 16, 16),
    )
    links = {"conv": (), "pool": ("conv",), "squeeze": ("pool",), "gate": ("squeeze",),
             "mul": ("conv", "gate"), "fc": ("mul",)}  # fmt: skip
    made = agreement(sites, links)
    assert made.groups == (("conv", "squeeze"),)
    assert set(made.frozen) == {"fc"}


def test_unknown_operators_freeze() -> None:
    sites = (
        Site("q", "linear", "linear", (4, 8), (4, 8), 256, 64),
        Site("softmax", "other", "softmax", (4, 8), (4, 8)),
        Site("fc", "linear", "linear", (4, 8), (4, 2), 64, 16),
    )
    made = agreement(sites, {"q": (), "softmax": ("q",), "fc": ("softmax",)})
    assert made.frozen["q"] == "softmax (softmax) reads its filters"
