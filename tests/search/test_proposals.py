"""Points are legal, new, and come from the queue first."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

from search import Integer, Param, Violation
from search.api.domain import Point
from search.api.errors import InfeasibleCandidate
from search.api.trial import Origin
from search.proposals import Proposals, Queued

PARAMS = (Param("n", Integer(0, 9)),)


class Stubborn:
    """Proposes the same point for ever."""

    name, reason = "stubborn", ""

    def suggest(self, number: int, attempt: int) -> Point | None:
        return {"n": 3}


class Counting(Stubborn):
    """Proposes 0, 1, 2, ... and then nothing."""

    def suggest(self, number: int, attempt: int) -> Point | None:
        return {"n": number} if number < 3 else None


def proposals(searcher: Any, check: Any = lambda point: (), repair: Any = None) -> Proposals:
    return Proposals(searcher, PARAMS, check, repair, seed=0)


def odd(point: Mapping[str, Any]) -> Sequence[Violation]:
    return [Violation("odd", "must be even", 1.0, "")] if point["n"] % 2 else []


def test_a_repeating_searcher_is_replaced_by_new_uniform_points_until_none_is_left() -> None:
    tested = proposals(Stubborn())
    drawn = [tested.next(i) for i in range(12)]
    points = [q.point["n"] for q in drawn if q is not None]
    assert points[0] == 3
    assert sorted(points) == list(range(10))  # type: ignore[type-var]
    assert drawn[10] is drawn[11] is None
    assert drawn[1] is not None
    assert drawn[1].origin.by == "uniform"
    assert "only known or illegal" in drawn[1].origin.reason


def test_an_ended_searcher_ends_the_study() -> None:
    tested = proposals(Counting())
    assert [q.point["n"] if (q := tested.next(i)) else None for i in range(4)] == [0, 1, 2, None]


def test_an_ended_searcher_is_told_from_a_used_up_space() -> None:
    tested = proposals(Counting())
    assert [tested.next(i) is None for i in range(4)] == [False, False, False, True]
    assert tested.leaves_points(3)
    tested.remember({"n": n} for n in range(10))
    assert not tested.leaves_points(3)
    assert not proposals(Counting(), lambda point: odd({"n": 1})).leaves_points(0)


def test_illegal_points_are_repaired_or_refused() -> None:
    repaired = proposals(Stubborn(), odd, lambda p: {"n": int(str(p["n"])) - 1})
    first = repaired.next(0)
    assert first is not None
    assert first.point == {"n": 2}
    assert repaired.repaired == 1

    def hopeless(point: Point) -> Point:
        raise InfeasibleCandidate(odd({"n": 1}))

    for repair in (None, hopeless):
        refused = proposals(Stubborn(), odd, repair)
        queued = refused.next(0)
        assert queued is not None
        assert queued.point["n"] % 2 == 0  # type: ignore[operator]
        assert refused.refused_illegal >= 40


def test_queue_goes_first_and_skips_known_points_but_for_retries() -> None:
    tested = proposals(Counting())
    tested.remember([{"n": 7}])
    tested.queue.append(Queued({"n": 7}, Origin("user")))
    tested.queue.append(Queued({"n": 7}, Origin("retry", parent=0), seed=5))
    tested.queue.append(Queued({"n": 8}, Origin("user")))
    drawn = [tested.next(0), tested.next(0), tested.next(0)]
    assert [q.point["n"] for q in drawn if q] == [7, 8, 0]
    assert drawn[0] is not None
    assert drawn[0].seed == 5


def test_sampling_is_repeatable() -> None:
    runs = []
    for _ in range(2):
        random.seed(None)
        tested = proposals(Stubborn())
        runs.append([q.point if (q := tested.next(i)) else None for i in range(5)])
    assert runs[0] == runs[1]
