from dataclasses import replace

import numpy as np
import pytest

from search.api.errors import ConfigError, InfeasibleCandidate
from search.api.network import Site
from spaces.masking import Maskable, Masking, SiteMask
from spaces.relu import ReluPlacement

SITES = (
    Site("conv", "conv", "conv", (1, 4, 4), (4, 4, 4), macs=576, weights=36),
    Site("a", "activation", "relu", (4, 4, 4), (4, 4, 4)),
    Site("pool", "pool", "maxpool", (4, 4, 4), (4, 2, 2)),
    Site("b", "activation", "relu", (4, 2, 2), (4, 2, 2)),
)


def masking(**options: object) -> Masking:
    given = {"granularity": "pixel", "activations": ("poly2", "relu"), **options}
    return ReluPlacement(SITES, **given).masking  # type: ignore[arg-type]


def test_the_space_of_masks_says_what_is_free_and_what_is_settled() -> None:
    found = masking(fixed={"b": "relu"})
    assert isinstance(ReluPlacement(SITES), Maskable)
    assert [s.name for s in found.free] == ["a"]
    assert found.settled == {"b": "relu", "pool": "avg"}
    assert (found.settled_relus, found.total, found.replacement) == (16, 80, "poly2")


def test_the_space_of_masks_has_no_parameters_and_builds_nothing() -> None:
    space = ReluPlacement(SITES, "channel", activations=("relu", "identity"))
    assert space.params() == ()
    with pytest.raises(ConfigError, match="channel masks are not built from a point.*autorep"):
        space.build({})


@pytest.mark.parametrize("activations", [("relu",), ("relu", "poly1", "poly2"), ("poly2",)])
def test_masks_need_one_replacement(activations: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError, match="masks need `relu` and one operator that replaces it"):
        masking(activations=activations)


@pytest.mark.parametrize(
    ("granularity", "shape", "elements"),
    [("pixel", (4, 4, 4), 1), ("channel", (4, 1, 1), 16), ("layer", (1, 1, 1), 64)],
)
def test_units_of_a_mask(granularity: str, shape: tuple[int, ...], elements: int) -> None:
    found = masking(granularity=granularity)
    assert found.unit_shape(SITES[1]) == shape
    assert found.unit_elements(SITES[1]) == elements


def test_a_budget_is_a_share_of_all_relus() -> None:
    assert masking().budget(100) == 80
    assert masking().budget(5) == 4
    assert masking().budget(0) == 0


@pytest.mark.parametrize(
    ("percent", "excess", "message"),
    [
        (101, 1, r"got 101 %; the network has 80 ReLU elements \(100 %\)"),
        (-5, 4, "got -5 %; expected 0 or more"),
    ],
)
def test_budgets_that_cannot_be_are_refused(percent: float, excess: int, message: str) -> None:
    with pytest.raises(InfeasibleCandidate, match=message) as caught:
        masking().budget(percent)
    assert caught.value.violations[0].excess == excess


def test_fixed_relus_bound_the_budget_from_below() -> None:
    with pytest.raises(InfeasibleCandidate, match="16 ReLU elements are fixed"):
        masking(fixed={"b": "relu"}).budget_of(10)


def test_whole_layers_become_plain_operators() -> None:
    plan = masking().plan({"a": SiteMask(3, "00"), "b": SiteMask(16, "11")})
    assert plan.as_mapping() == {"a": "relu/poly2", "pool": "avg", "b": "relu"}
    assert plan.masks() == {"a": "00"}
    assert (
        masking().plan({"a": SiteMask(0, ""), "b": SiteMask(1, "")}).choices[0].operator == "poly2"
    )


def test_a_plan_needs_a_sensible_mask_per_site() -> None:
    with pytest.raises(ConfigError, match="one mask for each of 2 sites"):
        masking().plan({"a": SiteMask(3, "")})
    with pytest.raises(ConfigError, match="a: a mask keeps 65 of 64"):
        masking().plan({"a": SiteMask(65, ""), "b": SiteMask(1, "")})


def test_the_usage_of_counts_is_that_of_the_plan() -> None:
    kept = {"a": 3, "b": 5}
    plan = masking().plan({n: SiteMask(k, "00") for n, k in kept.items()})
    want = [(w.site, w.operator, w.calls, w.elements) for w in plan.usage(SITES)]
    found = masking().usage({n: float(k) for n, k in kept.items()})
    assert [(w.site, w.operator, w.calls, w.elements) for w in found] == want


def test_the_usage_of_many_plans_at_once() -> None:
    many = {"a": np.array([1.0, 2.0]), "b": np.array([3.0, 4.0])}
    relus = [w.elements for w in masking().usage(many) if w.operator == "relu"]
    assert [r.tolist() for r in relus] == [[1.0, 2.0], [3.0, 4.0]]


def test_a_masking_is_plain_data() -> None:
    assert replace(masking(), granularity="layer").unit_elements(SITES[3]) == 16
