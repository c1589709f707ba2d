from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from search.api.errors import ConfigError
from search.api.network import Site
from search.methods.exact_masks import even_counts, exact_masks
from spaces.masking import Masking
from spaces.relu import ReluPlacement

SITES = (
    Site("a", "activation", "relu", (4, 4, 4), (4, 4, 4)),
    Site("pool", "pool", "maxpool", (4, 4, 4), (4, 2, 2)),
    Site("b", "activation", "relu", (6, 2, 2), (6, 2, 2)),
    Site("c", "activation", "relu", (5,), (5,)),
)
TOTAL = 64 + 24 + 5
GRANULARITIES = st.sampled_from(["pixel", "channel", "layer"])
COUNTS = st.fixed_dictionaries(
    {"a": st.integers(0, 64), "b": st.integers(0, 24), "c": st.integers(0, 5)}
)


def masking(granularity: str = "pixel", **options: object) -> Masking:
    return ReluPlacement(SITES, granularity, activations=("relu", "identity"), **options).masking  # type: ignore[arg-type]


def draws(found: Masking, seed: int = 0) -> dict[str, torch.Tensor]:
    noise = torch.Generator().manual_seed(seed)
    return {s.name: torch.rand(found.unit_shape(s), generator=noise) for s in found.free}


def counts(masks: dict[str, torch.Tensor]) -> dict[str, int]:
    return {name: int(mask.sum()) for name, mask in masks.items()}


@pytest.mark.parametrize("budget", range(TOTAL + 1))
def test_pixels_fill_every_budget_exactly(budget: int) -> None:
    found = masking()
    masks = exact_masks(draws(found), found, budget, kept=None)
    assert sum(counts(masks).values()) == budget
    assert [(n, m.shape, m.dtype) for n, m in masks.items()] == [
        (s.name, s.input_shape, torch.bool) for s in found.free
    ]


@pytest.mark.parametrize("budget", [24, 30, TOTAL])
def test_settled_relus_are_part_of_the_budget(budget: int) -> None:
    found = masking(fixed={"b": "relu"})
    assert sum(counts(exact_masks(draws(found), found, budget, kept=None)).values()) == budget - 24


def test_a_budget_below_the_settled_relus_keeps_nothing() -> None:
    found = masking(fixed={"b": "relu"})
    assert sum(counts(exact_masks(draws(found), found, 3, kept=None)).values()) == 0


def test_the_highest_scores_stay() -> None:
    found = masking()
    scores = {s.name: torch.full(s.input_shape, -1.0) for s in found.free}
    scores["b"][2, 0, 1], scores["a"][3, 3, 3] = 5.0, 4.0
    masks = exact_masks(scores, found, 2, kept=None)
    assert bool(masks["b"][2, 0, 1])
    assert bool(masks["a"][3, 3, 3])


def test_ties_fall_to_the_earlier_site_and_unit() -> None:
    found = masking()
    masks = exact_masks({s.name: torch.zeros(s.input_shape) for s in found.free}, found, 66,
                        kept=None)  # fmt: skip
    assert counts(masks) == {"a": 64, "b": 2, "c": 0}
    assert masks["b"].flatten().nonzero().flatten().tolist() == [0, 1]


@given(GRANULARITIES, st.integers(0, TOTAL), st.integers(0, 9))
def test_no_unit_that_would_fit_is_dropped(granularity: str, budget: int, seed: int) -> None:
    found = masking(granularity)
    masks = exact_masks(draws(found, seed), found, budget, kept=None)
    assert_full(found, masks, budget)


@given(GRANULARITIES, COUNTS, st.integers(0, 9))
def test_counts_per_site_are_kept_as_far_as_units_allow(
    granularity: str, kept: dict[str, int], seed: int
) -> None:
    found = masking(granularity)
    budget = sum(kept.values())
    masks = exact_masks(draws(found, seed), found, budget, kept=kept)
    if granularity == "pixel":
        assert counts(masks) == kept
    assert_full(found, masks, budget)


def test_what_whole_channels_leave_goes_to_the_site_that_lost_most() -> None:
    # 14 of a (units of 16) and 6 of b (units of 4): one channel of b, then one of a.
    found = masking("channel")
    assert counts(exact_masks(draws(found), found, 20, kept={"a": 14, "b": 6, "c": 0})) == {
        "a": 16, "b": 4, "c": 0
    }  # fmt: skip


def assert_full(found: Masking, masks: dict[str, torch.Tensor], budget: int) -> None:
    left = budget - sum(counts(masks).values())
    assert left >= 0
    for site in found.free:
        units = masks[site.name].reshape(-1, found.unit_elements(site))
        assert bool((units.all(1) | ~units.any(1)).all()), "a unit is whole"
        if not bool(masks[site.name].all()):
            assert found.unit_elements(site) > left


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        ({}, r"a: expected scores of shape \(4, 4, 4\) \(got none\)"),
        ({"a": torch.zeros(4, 1, 1)}, r"a: expected scores of shape .* \(got \(4, 1, 1\)\)"),
        ({"a": torch.full((4, 4, 4), float("nan"))}, "a: a score is NaN"),
    ],
)
def test_wrong_scores_are_refused(scores: dict[str, torch.Tensor], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        exact_masks(scores, masking(), 5, kept=None)


def test_even_counts_keep_the_same_share_everywhere() -> None:
    found = masking()
    assert even_counts(found, TOTAL) == {"a": 64, "b": 24, "c": 5}
    assert even_counts(found, 0) == {"a": 0, "b": 0, "c": 0}
    kept = even_counts(found, 50)
    assert sum(kept.values()) == 50
    for site in found.free:
        assert abs(kept[site.name] - 50 / TOTAL * site.elements) < 1
