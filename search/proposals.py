"""Which point comes next: queue first, then the searcher; repaired, legal and never twice."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from search.api.candidate import Violation
from search.api.domain import Param, Point, point_digest, sample_point
from search.api.errors import InfeasibleCandidate
from search.api.searching import NamesOrigins, Searcher
from search.api.trial import Origin

ATTEMPTS = 40
"""Refused proposals of a searcher before uniform sampling takes over."""


@dataclass(frozen=True)
class Queued:
    """A point that goes before the searcher's: a user's, an advisor's, or one to be repeated."""

    point: Point
    origin: Origin
    seed: int | None = None


@dataclass
class Proposals:
    """Draws the points of a study.

    Args:
        searcher: proposes.
        params: outer parameters.
        check: known rules (pure).
        repair: moves an illegal point to a legal one; None if there is no repair.
        seed: seed of the fall-back sampling.
    """

    searcher: Searcher
    params: Sequence[Param]
    check: Callable[[Point], Sequence[Violation]]
    repair: Callable[[Point], Point] | None = None
    seed: int = 0
    queue: deque[Queued] = field(default_factory=deque)
    refused_illegal: int = 0
    refused_duplicate: int = 0
    repaired: int = 0
    _seen: set[str] = field(default_factory=set)

    def remember(self, points: Iterable[Point]) -> None:
        """Points that have had their trial."""
        self._seen.update(point_digest(p) for p in points)

    def next(self, number: int) -> Queued | None:
        """The point of trial ``number``; None when nothing new can be found."""
        while self.queue:
            queued = self.queue.popleft()
            digest = point_digest(queued.point)
            if digest in self._seen and queued.origin.kind != "retry":
                self.refused_duplicate += 1
                continue
            return self._take(queued)
        for attempt in range(ATTEMPTS):
            point = self.searcher.suggest(number, attempt)
            if point is None:
                return None
            legal = self._legal_new(point)
            if legal is not None:
                return self._take(Queued(legal, self._origin(number, attempt)))
        return self._sample(number)

    def _origin(self, number: int, attempt: int) -> Origin:
        named = None
        if isinstance(self.searcher, NamesOrigins):
            named = self.searcher.origin(number, attempt)
        return named or Origin("sampler", self.searcher.name)

    def _sample(self, number: int) -> Queued | None:
        """A uniform point when the searcher repeats itself; None when the space seems used up."""
        rng = random.Random(f"{self.seed}-{number}")
        for _ in range(25 * ATTEMPTS):
            legal = self._legal_new(sample_point(self.params, rng))
            if legal is not None:
                reason = f"{self.searcher.name} proposed only known or illegal points"
                return self._take(Queued(legal, Origin("sampler", "uniform", reason)))
        return None

    def leaves_points(self, number: int) -> bool:
        """Whether uniform draws still find a legal point without a trial: then it is the searcher
        that has ended, not the space.
        """
        rng = random.Random(f"{self.seed}-{number}-left")
        for _ in range(ATTEMPTS):
            point = sample_point(self.params, rng)
            if point_digest(point) not in self._seen and not self.check(point):
                return True
        return False

    def _legal_new(self, point: Point) -> Point | None:
        if self.check(point):
            if self.repair is None:
                self.refused_illegal += 1
                return None
            try:
                point = self.repair(point)
            except InfeasibleCandidate:
                self.refused_illegal += 1
                return None
            if self.check(point):
                self.refused_illegal += 1
                return None
            self.repaired += 1
        if point_digest(point) in self._seen:
            self.refused_duplicate += 1
            return None
        return point

    def _take(self, queued: Queued) -> Queued:
        self._seen.add(point_digest(queued.point))
        return queued
