"""The contracts of those who propose points: searchers, and advisors that go before them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from search.api.candidate import Violation
from search.api.domain import Param, Point
from search.api.metric import Goal
from search.api.trial import Origin, Trial


@dataclass(frozen=True)
class Problem:
    """What a searcher must know about a study.

    Args:
        params: outer parameters, static superset, in order.
        goals: ``min`` or ``max`` per objective.
        constraints: names of the measured constraints, in order.
        trials: total number of trials the study will run; None if bounded otherwise.
        seed: seed of the study.
        check: known rules a point breaks (pure, microseconds).
        repair: moves an illegal point to a near legal one; None if the space has no repair.
        gated: whether rungs have gates, so that trials may end without objective values.
        synthesise: what the space itself proposes after the given trials under these constraints;
            None if it proposes nothing.
        advisor: makes the advisor of a name with options; None where no study stands behind.
    """

    params: tuple[Param, ...]
    goals: tuple[Goal, ...]
    constraints: tuple[str, ...] = ()
    trials: int | None = None
    seed: int = 0
    check: Callable[[Point], Sequence[Violation]] = field(default=lambda point: ())
    repair: Callable[[Point], Point] | None = None
    gated: bool = False
    synthesise: Callable[[Sequence[Trial], Sequence[str]], Point | None] | None = None
    advisor: Callable[[str, Mapping[str, Any]], Advisor] | None = None


class Searcher(Protocol):
    """Proposes points. Its memory is the trials it was told; it can be rebuilt from them.

    ``suggest`` is a pure query. Only ``start`` makes a trial known (with the point as it runs,
    perhaps repaired, given by a user, or repeated after a crash).
    """

    @property
    def name(self) -> str:
        """Name for reports."""
        ...

    @property
    def reason(self) -> str:
        """Why this searcher (one line); for ``auto`` the rule that chose it."""
        ...

    def suggest(self, number: int, attempt: int) -> Point | None:
        """A point for trial ``number``; None when nothing is left to propose (grid).

        The answer is a function of the seed, ``number``, ``attempt`` and what was told so far.
        ``attempt`` counts refusals (duplicate or illegal point) of earlier answers.
        """
        ...

    def start(self, number: int, point: Point) -> None:
        """Trial ``number`` runs with ``point``."""
        ...

    def finish(self, trial: Trial) -> Mapping[str, Any]:
        """The trial ended. Returns JSON-safe memory to be stored with it; after a restart it
        comes back as ``Trial.memory`` in :meth:`replay`.
        """
        ...

    def replay(self, trials: Sequence[Trial]) -> None:
        """Take over the finished trials of an earlier run, in order of number."""
        ...


@runtime_checkable
class NamesOrigins(Protocol):
    """A searcher whose proposals come from more than one source."""

    def origin(self, number: int, attempt: int) -> Origin | None:
        """Who proposed the last answer to these arguments; None for the searcher itself."""
        ...


class StudyView(Protocol):
    """Read-only sight of a study, for advisors and reports."""

    def trials(self) -> Sequence[Trial]:
        """All trials in order of number."""
        ...

    def check(self, point: Point) -> Sequence[Violation]:
        """Rules that ``point`` breaks; no trial, no write."""
        ...


class Suggestion(Protocol):
    """A point an advisor puts first in the queue."""

    @property
    def point(self) -> Point:
        """Value of every active outer parameter."""
        ...

    @property
    def origin(self) -> Origin:
        """Who and why."""
        ...


class Advisor(Protocol):
    """A heuristic or an LLM agent that may put its own point before the sampler's."""

    def advise(self, view: StudyView) -> Suggestion | None:
        """A suggestion, or None to leave it to the sampler."""
        ...
