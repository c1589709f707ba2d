import random

import pytest

from search.api.domain import Choice, Integer, Ordinal, Real, Scalar, ScalarDomain
from search.api.ways import VectorWay, Way, scalar_ways, targets


def values(way: Way) -> list[object]:
    return [way.at(step) for step in range(1, len(way) + 1)]


@pytest.mark.parametrize(
    ("domain", "value", "expected"),
    [
        (Integer(1, 9, 2), 5, [[3, 1], [7, 9]]),
        (Integer(0, 4, 3), 0, [[], [3]]),
        (Ordinal((4, 8, 16)), 8, [[4], [16]]),
        (Choice(("a", "b", "c")), "b", [["a"], ["c"]]),
    ],
)
def test_discrete_ways(domain: ScalarDomain, value: Scalar, expected: list[list[object]]) -> None:
    assert [values(way) for way in scalar_ways(domain, value)] == expected


def test_real_ways_end_at_the_bounds_and_cost_their_share() -> None:
    down, up = scalar_ways(Real(0.0, 8.0), 2.0)
    assert (down.at(len(down)), up.at(len(up))) == (0.0, 8.0)
    assert (down.cost(len(down)), up.cost(len(up))) == (0.25, 0.75)
    assert up.at(len(up) // 2) == 5.0
    assert all(0.0 <= down.at(step) <= 2.0 for step in range(1, len(down), 999))  # type: ignore[operator]
    assert len(next(iter(scalar_ways(Real(2.0, 8.0), 2.0)))) == 0


def test_entries_move_in_order() -> None:
    way = VectorWay((1, 1, 0), 0, (1, 0))
    assert values(way) == [(1, 0, 0), (0, 0, 0)]
    assert way.cost(1) == pytest.approx(1 / 3)


def test_targets_of_entries_are_few() -> None:
    rng = random.Random(0)
    assert targets(Choice((0, 1)), rng) == (0, 1)
    assert targets(Real(0.0, 1.0), rng) == (0.0, 1.0)
    assert targets(Integer(0, 5, 2), rng) == (0, 4)
    assert targets(Integer(3, 3), rng) == (3,)
    assert targets(Ordinal(tuple(range(99))), rng) == (0, 98)
    assert len(targets(Choice(tuple(range(99))), rng)) == 16
