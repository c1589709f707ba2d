import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search.api.candidate import to_plain
from search.api.domain import sample_point
from search.api.errors import ConfigError, InfeasibleCandidate
from search.api.network import Site
from spaces.plan import SiteChoice
from spaces.relu import ReluPlacement
from spaces.relu_bits import ReluBits, widths_of

SITES = (
    Site("conv1", "conv", "conv", (3, 8, 8), (4, 8, 8), macs=6912, weights=108),
    Site("relu1", "activation", "relu", (4, 8, 8), (4, 8, 8)),
    Site("relu2", "activation", "relu", (4, 4, 4), (4, 4, 4)),
    Site("relu3", "activation", "relu", (4, 2, 2), (4, 2, 2)),
)
WIDTHS = (6, 8, 64)
POINT = {"activation": ("relu", "x2act", "relu"), "relu_bits": (8, 64, 6)}


def space(**options: object) -> ReluPlacement:
    return ReluPlacement(SITES, relu_bits=WIDTHS, **options)  # type: ignore[arg-type]


def test_the_parameter_has_one_entry_per_site_that_may_be_relu() -> None:
    assert [p.name for p in ReluPlacement(SITES).params()] == ["activation"]
    (_, param) = space().params()
    assert (param.name, param.unit, param.domain.length) == ("relu_bits", "bit", 3)
    assert space(fixed={"relu2": "x2act"}).members("relu_bits") == ("relu1", "relu3")
    assert space(fixed={"relu2": "relu"}).members("relu_bits") == ("relu1", "relu2", "relu3")


def test_widths_stand_in_the_plan_and_in_the_work_of_relus_only() -> None:
    plan = space().build(POINT)
    assert [(c.operator, c.relu_bits) for c in plan.choices] == [
        ("relu", 8), ("x2act", None), ("relu", 6)
    ]  # fmt: skip
    assert [w.bits for w in plan.usage(SITES)] == [None, 8, None, 6]
    assert space().point(plan) == POINT


def test_a_fixed_relu_gets_a_width_too() -> None:
    found = space(fixed={"relu1": "relu"}).build(
        {"activation": ("x2act", "relu"), "relu_bits": (6, 8, 8)}
    )
    assert [c.relu_bits for c in found.choices] == [6, None, 8]


def test_a_relu_on_the_whole_ring_reads_as_the_widest() -> None:
    bits = ReluBits(["a", "b"], [12, 8])
    assert bits.read([SiteChoice("a", "relu"), SiteChoice("b", "identity")]) == (12, 12)


@pytest.mark.parametrize("bits", [None, (8, 8), (8, 8, 7), (8, 8, 8.0), 8])
def test_wrong_widths_are_violations(bits: object) -> None:
    point = {"activation": ("relu",) * 3, "relu_bits": bits}
    if bits is None:
        del point["relu_bits"]
    (found,) = space().check(point)  # type: ignore[arg-type]
    assert "relu_bits: got" in found.detail
    assert "one of 6, 8, 64" in found.detail
    with pytest.raises(InfeasibleCandidate):
        space().build(point)  # type: ignore[arg-type]


def test_repair_keeps_what_is_legal_and_gives_up_on_another_shape() -> None:
    got = space().repair({"activation": ("relu", "x2act", "relu"), "relu_bits": (7, 6, 6)})
    assert got["relu_bits"] == (64, 64, 6)
    with pytest.raises(InfeasibleCandidate, match="relu_bits: got nothing"):
        space().repair({"activation": ("relu",) * 3})


@settings(max_examples=50)
@given(st.integers(0, 2**32), st.integers(0, 400))
def test_repair_is_legal_and_the_point_of_its_plan(seed: int, budget: int) -> None:
    places = space(max_relus=budget)
    legal = places.repair(sample_point(places.params(), random.Random(seed)))
    assert not places.check(legal)
    assert places.repair(legal) == legal
    plan = places.build(legal)
    assert places.point(plan) == legal
    assert places.decode(json.loads(json.dumps(to_plain(plan)))) == plan


@pytest.mark.parametrize(
    ("widths", "message"),
    [((), "one or more different widths"), ((8, 8), "different widths"), ((1,), r"got 1\)"),
     ((8, 65), r"got 65\)")],
)  # fmt: skip
def test_wrong_options_say_what_was_expected(widths: tuple[int, ...], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        widths_of(widths)


def test_masks_have_no_widths() -> None:
    with pytest.raises(ConfigError, match="chosen per layer .got granularity pixel"):
        space(granularity="pixel")
    with pytest.raises(ConfigError, match="no activation can be ReLU"):
        space(activations=("x2act", "identity"))
