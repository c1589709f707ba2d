"""Wishes: misses are relative, reserves keep from bounds on measured metrics only."""

from __future__ import annotations

import pytest

from agents.expert_wish import Wish, margin
from agents.goals import aim_of
from search.api.metric import Metric

LATENCY = Metric("latency_ckks", "ms", "min", "")
PRECISION = Metric("precision_ckks", "bit", "max", "")
KEYS = Metric("key_mb", "MB", "min", "")
METRICS = {m.name: m for m in (LATENCY, PRECISION, KEYS)}
TEXTS = ("precision_ckks >= 10 bit", "latency_ckks <= 1 s", "key_mb <= 50 MB")
AIMS = tuple(aim_of(text, METRICS, "demands") for text in TEXTS)


def test_the_largest_relative_miss_counts() -> None:
    wish = Wish(LATENCY, AIMS, reserve=0.0)
    assert wish.excess({"precision_ckks": 9.0, "key_mb": 100.0}) == pytest.approx(1.0)
    assert wish.excess({"precision_ckks": 9.0, "key_mb": 50.0}) == pytest.approx(0.1)
    assert wish.excess({"precision_ckks": 10.0, "latency_ckks": 1000.0}) == 0.0
    assert wish.excess({}) == 0.0


def test_a_reserve_is_kept_from_bounds_on_what_is_measured() -> None:
    assert [margin(aim) for aim in AIMS] == [0.7, pytest.approx(30.0), 0.0]
    wish = Wish(LATENCY, AIMS)
    assert wish.excess({"precision_ckks": 10.5}) > 0
    assert wish.excess({"precision_ckks": 10.5}, 0.0) == 0.0
    assert wish.excess({"key_mb": 50.0}) == 0.0


def test_which_way_is_better() -> None:
    assert (Wish(LATENCY, ()).sign, Wish(LATENCY, ()).wants_precision) == (1.0, False)
    assert (Wish(PRECISION, ()).sign, Wish(PRECISION, ()).wants_precision) == (-1.0, True)
