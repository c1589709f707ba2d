from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from search.api.errors import EvaluationError
from search.api.network import Site
from spaces.eve.device.geometry import geometry_of, is_chain, kept_inputs, layers_of
from spaces.eve.family import ModePlan


def test_shapes(sites: tuple[Site, ...]) -> None:
    shape = geometry_of(sites[3])
    assert (shape.rows, shape.columns, shape.filters, shape.channels) == (7, 7, 32, 16)
    assert (shape.positions, shape.groups) == (9, 1)
    linear = geometry_of(sites[-1])
    assert (linear.filters, linear.channels, linear.positions) == (10, 288, 1)
    attributes = {"kernel": 5, "stride": 1, "padding": 2, "groups": 1}
    signal = Site("c", "conv", "conv", (3, 20), (4, 20), attributes=attributes)
    assert geometry_of(signal).kernel == (1, 5)
    with pytest.raises(EvaluationError, match="rows and columns"):
        geometry_of(sites[1])
    with pytest.raises(EvaluationError, match="square"):
        geometry_of(replace(sites[0], attributes={}))


def test_plans_must_fit(sites: tuple[Site, ...], make_mode: Callable[..., ModePlan]) -> None:
    mode = make_mode()
    assert set(layers_of(sites, mode)) == {"conv1", "conv2", "classifier"}
    with pytest.raises(EvaluationError, match="says nothing"):
        layers_of(sites, replace(mode, layers=mode.layers[1:]))
    with pytest.raises(EvaluationError, match="no layer"):
        layers_of(sites[:-1], mode)
    wrong = replace(mode.layers[0], units=25)
    with pytest.raises(EvaluationError, match="expected 1 to 9 of 9"):
        layers_of(sites, replace(mode, layers=(wrong, *mode.layers[1:])))


def test_dropped_filters_spare_inputs_of_the_next_layer_in_a_chain(
    sites: tuple[Site, ...], make_mode: Callable[..., ModePlan]
) -> None:
    mode = make_mode(kept=3, unit="filter")
    share = kept_inputs(sites, layers_of(sites, mode))
    assert share["conv1"] == 1.0
    assert share["pool1"] == share["relu1"] == share["conv2"] == 5 / 16
    assert share["classifier"] == 10 / 32
    patterns = make_mode(kept=3)
    assert set(kept_inputs(sites, layers_of(sites, patterns)).values()) == {1.0}


def test_branches_spare_nothing(
    sites: tuple[Site, ...], make_mode: Callable[..., ModePlan]
) -> None:
    added = Site("add", "add", "add", (10,), (10,))
    assert is_chain(sites)
    assert not is_chain((*sites, added))
    assert not is_chain((sites[0], sites[3]))
    mode = make_mode(kept=3, unit="filter")
    share = kept_inputs((*sites, added), layers_of(sites, mode))
    assert set(share.values()) == {1.0}
