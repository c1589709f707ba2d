from __future__ import annotations

import random
from typing import Any

import pytest

from search.api.domain import Choice, Integer, Ordinal, Real, Scalar, ScalarDomain, sample_point
from search.searchers.slots import Slot, Slots, action_of, nearest, options_of, value_of

DOMAINS: list[ScalarDomain] = [
    Real(-2, 2),
    Real(1e-3, 1, log=True),
    Real(3, 3),
    Integer(0, 10, 3),
    Integer(1, 4096, log=True),
    Integer(7, 900),
    Ordinal((2, 4, 8)),
    Choice(("a", 1, True, 1.0)),
]


def test_a_point_is_read_as_the_decisions_that_built_it(tools: Any) -> None:
    slots = Slots(tools.spaces["vectors"])
    assert [s.index for s in slots.all] == list(range(len(slots.all)))
    lengths = set()
    for seed in range(40):
        point = sample_point(tools.spaces["vectors"], random.Random(seed))
        decisions = list(slots.read(point))
        lengths.add(len(decisions))
        queue = iter(decisions)

        def choose(slot: Slot, queue: Any = queue) -> Scalar:
            expected, value = next(queue)
            assert slot is expected
            chosen: Scalar = value
            return chosen

        assert slots.build(choose) == point
        assert next(queue, None) is None
    assert len(lengths) > 2  # inactive parameters ask for no decision


@pytest.mark.parametrize("domain", DOMAINS, ids=lambda d: d.describe())
def test_actions_mean_values_and_values_actions(domain: ScalarDomain) -> None:
    rng = random.Random(0)
    for _ in range(60):
        value = domain.sample(rng)
        again = value_of(domain, action_of(domain, value))
        assert type(again) is type(value) or isinstance(domain, Real)
        assert again == pytest.approx(value) if isinstance(domain, Real) else again == value
        assert domain.contains(value_of(domain, rng.random()))
    for end in (-0.5, 0.0, 1.0, 1.5):
        assert domain.contains(value_of(domain, end))


def test_few_options_share_the_actions_out_equally() -> None:
    for domain in (Ordinal((2, 4, 8)), Choice(("a", "b", "c")), Integer(1, 3)):
        counts: dict[Scalar, int] = {}
        for i in range(300):
            value = value_of(domain, (i + 0.5) / 300)
            counts[value] = counts.get(value, 0) + 1
        assert list(counts.values()) == [100, 100, 100]


@pytest.mark.parametrize("domain", DOMAINS, ids=lambda d: d.describe())
def test_options_lie_in_the_domain_and_are_found_again(domain: ScalarDomain) -> None:
    options = options_of(domain, 5)
    assert all(domain.contains(o) for o in options)
    assert [nearest(domain, options, o) for o in options] == list(range(len(options)))
    assert nearest(domain, options, domain.sample(random.Random(1))) < len(options)


def test_grids_have_both_ends_and_the_scale_of_the_domain() -> None:
    assert options_of(Real(0.01, 1, log=True), 3) == pytest.approx((0.01, 0.1, 1.0))
    assert options_of(Integer(0, 100), 3) == (0, 50, 100)
    assert options_of(Integer(1, 3), 8) == (1, 2, 3)
    assert options_of(Real(2, 2), 8) == (2.0,)
    assert nearest(Real(0.01, 1, log=True), (0.01, 0.1, 1.0), 0.05) == 1
