import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spaces.pruning.budget import (
    Row,
    can_rise,
    kept_weights,
    least_weights,
    scaled,
    scaled_together,
)

LENET: list[Row] = [
    (1, ((0, 500),)),
    (1, ((1, 25_000),)),
    (1, ((2, 400_000),)),
    (1, ((3, 5_000),)),
]
BLOCKS: list[Row] = [(7, ()), (9, ((0, 16), (1, 8))), (3, ((0, 16),)), (1, ((2, 40),))]


def test_the_papers_vector() -> None:
    assert kept_weights(LENET, (0.2, 0.08, 0.009, 0.07)) == 100 + 2000 + 3600 + 350


def test_structures_of_one_layer_multiply() -> None:
    assert kept_weights(BLOCKS, (0.5, 0.25, 0.1)) == 7 + 9 * 8 * 2 + 3 * 8 + 4
    assert kept_weights(BLOCKS, (0.001,) * 3) == 7 + 9 + 3 + 1


@pytest.mark.parametrize("allowed", [6050, 4305, 1750, 100_000])
def test_single_weights_hit_the_budget_exactly(allowed: int) -> None:
    for values in ((1.0,) * 4, (0.2, 0.08, 0.009, 0.07), (0.002, 0.9, 0.002, 0.3)):
        assert kept_weights(LENET, scaled(LENET, values, 0.002, allowed)) == allowed


def test_all_layers_are_scaled_alike() -> None:
    found = scaled(LENET, (0.4, 0.16, 0.018, 0.14), 0.002, 6050)
    assert found == pytest.approx((0.2, 0.08, 0.009, 0.07), rel=1e-3)


@settings(max_examples=200)
@given(st.integers(0, 2**32))
def test_scaling_never_exceeds_and_leaves_no_room(seed: int) -> None:
    rng = random.Random(seed)
    slots = rng.randrange(1, 6)
    table: list[Row] = [(rng.randrange(0, 50), ())]
    units = [rng.randrange(1, 60) for _ in range(slots)]
    for slots_of_row in (rng.sample(range(slots), rng.randrange(1, min(3, slots) + 1))
                         for _ in range(rng.randrange(1, 6))):  # fmt: skip
        table.append((rng.randrange(1, 9), tuple((s, units[s]) for s in slots_of_row)))
    low = rng.choice([0.01, 0.1, 0.4])
    values = [rng.uniform(low, 1.0) for _ in range(slots)]
    least, most = least_weights(table, low), kept_weights(table, (1.0,) * slots)
    allowed = rng.randint(least, most)
    found = scaled(table, values, low, allowed)
    kept = kept_weights(table, found)
    assert kept <= allowed
    assert all(low <= v <= 1 for v in found)
    assert not can_rise(table, found, allowed - kept)


def test_a_unit_that_fits_is_found() -> None:
    assert can_rise(BLOCKS, (0.5, 0.25, 0.1), 1)
    assert not can_rise(BLOCKS, (0.5, 0.25, 1.0), 20)
    assert can_rise(BLOCKS, (0.5, 0.25, 1.0), 2 * 9 + 3)
    assert not can_rise(BLOCKS, (1.0, 1.0, 1.0), 1000)


def test_one_share_for_all_is_the_largest_that_fits() -> None:
    table: list[Row] = [(w, ((0, u),)) for w, u in ((3, 16), (1, 400), (5, 7))]
    for allowed in (20, 77, 300):
        share = scaled_together(table, 0.01, allowed)
        assert kept_weights(table, (share,)) <= allowed < kept_weights(table, (share * 1.000001,))
    assert scaled_together(table, 0.01, 10_000) == 1.0
