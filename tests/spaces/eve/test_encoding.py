from __future__ import annotations

import random
from typing import Any

import pytest

from search.api.domain import Point
from spaces.eve.encoding import Encoding
from spaces.eve.layers import Layer
from spaces.eve.options import EveConfig

LAYERS = (
    Layer("conv1", 8, 1, 9, 8, 8, linear=False),
    Layer("conv2", 16, 8, 9, 4, 4, linear=False),
    Layer("fc1", 32, 64, 1, 1, 1, linear=True),
    Layer("fc2", 10, 32, 1, 1, 1, linear=True),
)
ONE: dict[str, Any] = {
    "modes": 3, "bits": 8, "pool": 8, "tile_side": 4, "tile_filters": 8, "tile_channels": 16,
    "order": "reuse_W", "batch": 1,
}  # fmt: skip


def encoding(**options: Any) -> Encoding:
    return Encoding(EveConfig.model_validate(ONE | options), LAYERS)


def points(space: Encoding, count: int) -> list[Point]:
    rng = random.Random(0)
    return [{p.name: p.domain.sample(rng) for p in space.params} for _ in range(count)]


def test_one_value_is_no_parameter() -> None:
    assert [p.name for p in encoding().params] == ["keep", "steps"]
    everything = Encoding(EveConfig(modes=(2, 3), units="search"), LAYERS)
    names = "modes bits pool units keep steps tile_side tile_filters tile_channels order batch"
    assert [p.name for p in everything.params] == names.split()


def test_counts_follow_from_keep_and_steps() -> None:
    family = encoding().family({"keep": (1.0, 6 / 9, 0.5, 0.75), "steps": (0.8, 0.5)})
    kept = [[layer.kept for layer in mode.layers] for mode in family.members]
    assert kept == [[4, 2, 26, 6], [7, 5, 51, 12], [9, 6, 64, 15]]
    assert [layer.unit for layer in family.members[0].layers] == ["pattern"] * 2 + ["block"] * 2
    assert [layer.units for layer in family.members[0].layers] == [9, 9, 128, 20]


def test_steps_of_their_own_for_each_layer() -> None:
    space = encoding(steps="layer", modes=2)
    family = space.family({"keep": (1.0,) * 4, "steps": (0.5, 1.0, 0.25, 0.9)})
    assert [layer.keep for layer in family.members[0].layers] == [5 / 9, 1.0, 0.25, 0.9]
    assert space.members("steps") == tuple(f"{x.site}, step 1" for x in LAYERS)
    assert space.members("keep") == ("conv1", "conv2", "fc1", "fc2")


def test_fewer_modes_use_the_first_steps() -> None:
    space = encoding(modes=[2, 4])
    point = {"modes": 2, "keep": (1.0,) * 4, "steps": (0.5, 0.6, 0.7)}
    assert [m.layers[2].keep for m in space.family(point).members] == [0.5, 1.0]
    four = space.family(point | {"modes": 4}).members
    assert [m.layers[2].kept for m in four] == [27, 38, 64, 128]


def test_filters_instead_of_fine_units_but_never_in_the_last_layer() -> None:
    space = encoding(units="search")
    point = {"units": ("auto", "filter", "filter"), "keep": (1.0, 0.5, 0.5, 0.5),
             "steps": (0.5, 0.5)}  # fmt: skip
    layers = space.family(point).members[-1].layers
    assert [layer.unit for layer in layers] == ["pattern", "filter", "filter", "block"]
    assert [layer.kept for layer in layers] == [9, 8, 16, 10]

    ends = (LAYERS[0], Layer("last", 10, 8, 1, 4, 4, linear=False))
    classes = Encoding(EveConfig.model_validate(ONE), ends)
    family = classes.family({"keep": (0.5, 0.5), "steps": (0.5, 0.5)})
    assert [mode.layers[1].kept for mode in family.members] == [10, 10, 10]


def test_execution_of_each_layer() -> None:
    space = encoding(execution="layer", tile_side=[2, 4], order=["reuse_I", "reuse_O"])
    point = {"keep": (1.0,) * 4, "steps": (0.5, 0.5), "tile_side": (2, 4, 4, 4),
             "order": ("reuse_I", "reuse_O", "reuse_O", "reuse_I")}  # fmt: skip
    found = [layer.execution for layer in space.family(point).members[0].layers]
    assert [(e.rows, e.order) for e in found] == [
        (2, "reuse_I"), (4, "reuse_O"), (1, "reuse_O"), (1, "reuse_I")
    ]  # fmt: skip


@pytest.mark.parametrize("steps", ["network", "layer"])
def test_every_point_is_a_nested_family(steps: str) -> None:
    space = Encoding(EveConfig(modes=(2, 3, 4), units="search", steps=steps), LAYERS)  # type: ignore[arg-type]
    for point in points(space, 100):
        family = space.family(point)  # refuses families that are not nested
        assert len(family.members) == point["modes"]
        assert not space.domain_violations(point)


def test_values_outside_their_domains_are_told() -> None:
    found = encoding().domain_violations({"keep": (1.0, 1.0, 1.0), "steps": (0.5, 2.0)})
    assert [v.detail.partition(":")[0] for v in found] == ["keep", "steps"]
    assert encoding().domain_violations({})[0].detail.startswith("keep: got nothing; expected")
