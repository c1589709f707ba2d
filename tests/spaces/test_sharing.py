from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search.api.errors import ConfigError
from search.api.network import Site
from spaces.masking import Masking
from spaces.relu import ReluPlacement
from spaces.sharing import share_out, whole_units

SITES = (
    Site("a", "activation", "relu", (4, 4, 4), (4, 4, 4)),
    Site("b", "activation", "relu", (6, 2, 2), (6, 2, 2)),
    Site("c", "activation", "relu", (5,), (5,)),
)
HOLDS = {"a": 64, "b": 24, "c": 5}
TOTAL = sum(HOLDS.values())


def masking(granularity: str = "pixel", **options: object) -> Masking:
    return ReluPlacement(SITES, granularity, activations=("relu", "identity"), **options).masking  # type: ignore[arg-type]


WEIGHTS = st.fixed_dictionaries(
    {n: st.one_of(st.just(0.0), st.floats(1e-6, 1e6)) for n in ("a", "b", "c")}
)


@settings(max_examples=300)
@given(WEIGHTS, st.integers(0, TOTAL))
def test_shares_sum_to_the_budget_within_what_sites_hold(
    weights: dict[str, float], budget: int
) -> None:
    kept = share_out(weights, masking(), budget)
    assert sum(kept.values()) == budget
    assert all(0 <= kept[n] <= e for n, e in HOLDS.items())


@settings(max_examples=300)
@given(WEIGHTS, st.integers(0, TOTAL))
def test_shares_follow_the_weights_unless_a_site_is_full(
    weights: dict[str, float], budget: int
) -> None:
    kept = share_out(weights, masking(), budget)
    for one in kept:
        for two in kept:
            if kept[one] < HOLDS[one] and weights[one] >= weights[two] > 0:
                assert kept[one] >= kept[two] - 1
            if kept[one] < HOLDS[one] and weights[one] > 0 and weights[two] == 0:
                assert kept[two] <= 1  # at most what rounding leaves


@given(WEIGHTS, st.integers(0, TOTAL), st.floats(1e-3, 1e3))
def test_only_ratios_of_weights_matter(
    weights: dict[str, float], budget: int, factor: float
) -> None:
    one = share_out(weights, masking(), budget)
    two = share_out({n: w * factor for n, w in weights.items()}, masking(), budget)
    assert all(abs(one[n] - two[n]) <= 1 for n in one)


def test_shares_leave_out_settled_relus() -> None:
    found = masking(fixed={"b": "relu"})
    assert share_out({"a": 1.0, "c": 1.0}, found, 34) == {"a": 5, "c": 5}
    assert share_out({"a": 1.0, "c": 1.0}, found, 10) == {"a": 0, "c": 0}


@pytest.mark.parametrize("weight", [-1.0, float("nan"), float("inf")])
def test_weights_must_be_numbers_of_at_least_0(weight: float) -> None:
    with pytest.raises(ConfigError, match="b: expected a weight of at least 0"):
        share_out({"a": 1.0, "b": weight, "c": 1.0}, masking(), 10)


COUNTS = st.fixed_dictionaries({n: st.integers(0, e) for n, e in HOLDS.items()})


@given(st.sampled_from(["pixel", "channel", "layer"]), COUNTS)
def test_whole_units_fill_the_sum_of_the_counts(granularity: str, kept: dict[str, int]) -> None:
    found = masking(granularity)
    size = {s.name: found.unit_elements(s) for s in found.free}
    units = whole_units(kept, found)
    left = sum(kept.values()) - sum(units[n] * size[n] for n in units)
    assert left >= 0
    assert all(units[n] * size[n] == HOLDS[n] or size[n] > left for n in units)
    assert all(units[n] >= kept[n] // size[n] for n in units)


def test_elements_are_whole_units() -> None:
    assert whole_units({"a": 14, "b": 6, "c": 0}, masking()) == {"a": 14, "b": 6, "c": 0}


def test_shares_are_the_same_in_every_process() -> None:
    code = (
        "from spaces.masking import Masking; from spaces.sharing import share_out;"
        "from search.api.network import Site;"
        "names = [f's{i}' for i in range(40)];"
        "sites = tuple(Site(n, 'activation', 'relu', (97 + i,), (97 + i,))"
        " for i, n in enumerate(names));"
        "masking = Masking(sites, sites, {}, 'identity');"
        "print(share_out({n: 0.1 * (i + 1) for i, n in enumerate(names)}, masking, 2345))"
    )
    runs = [
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": str(seed)},
            capture_output=True, text=True, check=True,
        ).stdout
        for seed in (1, 2)
    ]  # fmt: skip
    assert runs[0] == runs[1]
