"""What a searcher was told: points that ran, their losses and excesses, and the best of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from search.api.domain import Point, point_digest
from search.api.searching import Problem
from search.api.trial import Trial

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Member:
    """An ended trial.

    Args:
        number: trial number.
        point: what ran.
        losses: objective values, every goal turned into ``min``; None without values.
        excess: constraint or rule -> excess; greater than 0 means violated.
    """

    number: int
    point: Point
    losses: tuple[float, ...] | None
    excess: Mapping[str, float] = field(default_factory=dict)

    @property
    def feasible(self) -> bool:
        """Has values and violates nothing."""
        return self.losses is not None and all(e <= 0 for e in self.excess.values())


class History:
    """Trials told so far; the same whether they came live or in a replay.

    Args:
        problem: gives goals and names of constraints.
        capacity: size of ``population``.
    """

    def __init__(self, problem: Problem, capacity: int = 20) -> None:
        self._signs = [1.0 if goal == "min" else -1.0 for goal in problem.goals]
        self._constraints = problem.constraints
        self._capacity = capacity
        self._points: dict[int, Point] = {}
        self._worst: dict[str, float] = {}
        self.seen: set[str] = set()
        self.members: list[Member] = []
        self.population: list[Member] = []

    def start(self, number: int, point: Point) -> None:
        """Trial ``number`` runs with ``point``."""
        self._points[number] = dict(point)
        self.seen.add(point_digest(point))

    def finish(self, trial: Trial) -> Member | None:
        """The trial ended. Returns what was learnt, None if nothing (failed, crashed)."""
        if trial.number not in self._points:
            self.start(trial.number, trial.point)
        member = member_of(trial, self._signs, self._constraints)
        if member is None:
            return None
        self.members.append(member)
        for name, excess in member.excess.items():
            self._worst[name] = max(self._worst.get(name, 0.0), excess)
        self.population = self._select([*self.population, member])
        return member

    def violation(self, member: Member) -> float:
        """How infeasible: sum over constraints of the excess relative to the worst one seen.

        A trial without values and without a known excess counts as 1.
        """
        parts = [e / self._worst[name] for name, e in member.excess.items() if e > 0]
        total = float(sum(parts))
        return total if total > 0 or member.losses is not None else 1.0

    def _select(self, members: list[Member]) -> list[Member]:
        """The best ``capacity``: feasible first, by front and crowding; then the least infeasible.

        Source: Deb, Pratap, Agarwal, Meyarivan, NSGA-II, IEEE TEC 6(2), 2002, section VI
            (constrained domination).
        """
        feasible = [m for m in members if m.feasible]
        others = [m for m in members if not m.feasible]
        others.sort(key=lambda m: (self.violation(m), m.losses is None, m.number))
        losses = np.array([m.losses for m in feasible], dtype=np.float64)
        best = [feasible[i] for i in by_rank_and_crowding(losses)]
        return [*best, *others][: self._capacity]


def member_of(trial: Trial, signs: Sequence[float], constraints: Sequence[str]) -> Member | None:
    """What can be learnt from ``trial``; None if it failed, crashed or gave no finite number."""
    if trial.status in ("failed", "crashed", "running"):
        return None
    given = trial.outcome.excess if trial.outcome is not None else {}
    excess = {name: float(given.get(name, 0.0)) for name in constraints}
    excess.update({name: float(e) for name, e in given.items()})
    excess = {name: e for name, e in excess.items() if math.isfinite(e)}
    if trial.status != "complete" or trial.values is None:
        return Member(trial.number, trial.point, None, excess)
    losses = tuple(s * v for s, v in zip(signs, trial.values, strict=True))
    if not all(math.isfinite(loss) for loss in losses):
        return None
    return Member(trial.number, trial.point, losses, excess)


def by_rank_and_crowding(losses: Floats) -> list[int]:
    """Indices of ``losses`` (shape ``[n, m]``), best first: by front, crowding, then order.

    Source: Deb et al., NSGA-II, IEEE TEC 6(2), 2002, sections III-A and III-B.
    """
    if len(losses) == 0:
        return []
    if losses.shape[1] == 1:
        return [int(i) for i in np.argsort(losses[:, 0], kind="stable")]
    no_worse = (losses[:, None, :] <= losses[None, :, :]).all(axis=2)
    better = (losses[:, None, :] < losses[None, :, :]).any(axis=2)
    dominates: npt.NDArray[np.bool_] = np.logical_and(no_worse, better)
    left = np.ones(len(losses), dtype=bool)
    order: list[int] = []
    while left.any():
        front = np.flatnonzero(left & ~dominates[left].any(axis=0))
        spread = crowding(losses[front])
        order += [int(front[i]) for i in np.argsort(-spread, kind="stable")]
        left[front] = False
    return order


def crowding(losses: Floats) -> Floats:
    """Crowding distance of each point of one front; ``inf`` at the ends."""
    n, m = losses.shape
    distance = np.zeros(n)
    for k in range(m):
        order = np.argsort(losses[:, k], kind="stable")
        column = losses[order, k]
        span = column[-1] - column[0]
        distance[order[[0, -1]]] = np.inf
        if n > 2 and span > 0:
            distance[order[1:-1]] += (column[2:] - column[:-2]) / span
    return distance
