"""A study family made ready for comparison: fronts, one reference point, hypervolumes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from search.api.errors import ConfigError
from search.api.metric import Goal, Metric
from search.api.snapshot import Snapshot
from search.api.trial import Trial
from search.pareto import hypervolume_history, non_dominated

_MARGIN = 0.1  # of the range: how far the reference point lies beyond the worst value
_LOG_FROM = 50.0  # largest / smallest value above which an axis is logarithmic


@dataclass(frozen=True)
class Arm:
    """One arm and what follows from its trials.

    Args:
        snapshot: the arm as stored.
        ended: trials that are no longer running, in the order in which they ended.
        scored: those that are complete and have a finite value for every objective.
        front: feasible, scored, non-dominated trials, by first objective, best last; trials with
            equal values are all kept. Empty without objectives.
        history: hypervolume of the feasible trials after each of ``ended``; empty if undefined.
    """

    snapshot: Snapshot
    ended: tuple[Trial, ...]
    scored: tuple[Trial, ...]
    front: tuple[Trial, ...]
    history: tuple[float, ...]

    @property
    def name(self) -> str:
        """Name of the arm."""
        return self.snapshot.arm

    @property
    def feasible(self) -> tuple[Trial, ...]:
        """Scored trials that violate no constraint."""
        return tuple(trial for trial in self.scored if trial.feasible)

    @property
    def hypervolume(self) -> float | None:
        """Hypervolume of the front, in the product of the objectives' units."""
        return self.history[-1] if self.history else None

    def best(self, objective: int) -> Trial | None:
        """The feasible trial with the best value of an objective; the earliest if several."""
        sign = -1.0 if self.snapshot.objectives[objective].goal == "max" else 1.0
        return min(
            self.feasible,
            key=lambda t: (sign * values_of(t)[objective], t.number),
            default=None,
        )


@dataclass(frozen=True)
class Family:
    """All arms of a study, main arm first.

    Args:
        arms: at least one.
        objectives: shared by all arms.
        reference: reference point of the hypervolume, one value per objective; None without a
            scored trial.
        given: names of the objectives whose reference value the caller gave.
    """

    arms: tuple[Arm, ...]
    objectives: tuple[Metric, ...]
    reference: tuple[float, ...] | None
    given: frozenset[str] = frozenset()

    @property
    def main(self) -> Arm:
        """The arm the others are compared with."""
        return self.arms[0]

    @property
    def name(self) -> str:
        """Name of the study family."""
        return self.main.snapshot.study

    @property
    def volume_unit(self) -> str:
        """Unit of the hypervolume: the product of the objectives' units."""
        units = [m.unit for m in self.objectives if m.unit not in ("", "1")]
        return " × ".join(units) or "1"

    @property
    def common_trials(self) -> int:
        """The number of ended trials that every arm has; fair comparisons stop there."""
        return min(len(arm.ended) for arm in self.arms)

    def volume_at(self, arm: Arm, trials: int) -> float | None:
        """Hypervolume of ``arm`` after its first ``trials`` ended trials."""
        return arm.history[trials - 1] if 0 < trials <= len(arm.history) else None

    @property
    def reference_note(self) -> str:
        """One sentence that says what the reference point is and where it comes from."""
        if self.reference is None:
            return "No trial was completed, so there is no reference point."
        point = ", ".join(
            f"{m.name} = {value:.6g} {m.unit}".rstrip()
            for m, value in zip(self.objectives, self.reference, strict=True)
        )
        if len(self.given) == len(self.objectives):
            return f"Reference point: {point} (given by the caller)."
        worst = (
            f"worst value among the completed trials of all arms, and {100 * _MARGIN:g} % of their "
            "range beyond it, so that the ends of a front count"
        )
        if self.given:
            worst = f"{', '.join(sorted(self.given))} given by the caller, else {worst}"
        return f"Reference point: {point} ({worst})."


def values_of(trial: Trial) -> tuple[float, ...]:
    """The objective values of a scored trial.

    Raises:
        ValueError: the trial has none.
    """
    if trial.values is None:
        raise ValueError(f"trial {trial.number} has no objective values")
    return trial.values


def axis_pairs(family: Family) -> list[tuple[int, int]]:
    """(x, y) objectives of every pair. What is minimised goes right and what is maximised goes
    up where a pair has one of each.
    """
    goals = [m.goal for m in family.objectives]
    return [
        (b, a) if goals[a] == "max" and goals[b] == "min" else (a, b)
        for a, b in combinations(range(len(goals)), 2)
    ]


def best_so_far(arm: Arm, objective: int) -> list[tuple[int, float]]:
    """(number of ended trials, best feasible value until then), from the first feasible one on."""
    sign = -1.0 if arm.snapshot.objectives[objective].goal == "max" else 1.0
    feasible = {t.number for t in arm.feasible}
    best: float | None = None
    steps = []
    for count, trial in enumerate(arm.ended, start=1):
        if trial.number in feasible:
            value = values_of(trial)[objective]
            best = value if best is None or sign * value < sign * best else best
        if best is not None:
            steps.append((count, best))
    return steps


def is_wide(values: Sequence[float]) -> bool:
    """Whether values are all positive and span so much that a logarithmic axis reads better."""
    return bool(values) and min(values) > 0 and max(values) / min(values) > _LOG_FROM


def family_of(
    snapshots: Sequence[Snapshot], reference: Mapping[str, float] | None = None
) -> Family:
    """The family of ``snapshots``; see :func:`search.report.write_report` for the arguments.

    Raises:
        ConfigError: no snapshots, two arms of one name, objectives that differ, or a reference
            for something that is no objective.
    """
    if not snapshots:
        raise ConfigError("nothing to report (got no snapshots; expected at least one)",
                          source="report")  # fmt: skip
    ordered = sorted(snapshots, key=lambda s: s.arm != "main")
    objectives = ordered[0].objectives
    _check_arms(ordered, objectives)
    given = dict(reference or {})
    unknown = sorted(set(given) - {m.name for m in objectives})
    if unknown:
        names = ", ".join(m.name for m in objectives)
        raise ConfigError(f"{unknown[0]!r} is no objective (expected one of {names})",
                          path="reference", source="report")  # fmt: skip
    scored = [_scored(s) for s in ordered]
    corner = _reference(objectives, [t for arm in scored for t in arm], given)
    arms = tuple(_arm(s, trials, corner) for s, trials in zip(ordered, scored, strict=True))
    return Family(arms, objectives, corner, frozenset(given))


def _check_arms(snapshots: Sequence[Snapshot], objectives: tuple[Metric, ...]) -> None:
    expected = [(m.name, m.unit, m.goal) for m in objectives]
    seen: set[str] = set()
    for snapshot in snapshots:
        found = [(m.name, m.unit, m.goal) for m in snapshot.objectives]
        if found != expected:
            raise ConfigError(
                f"arms cannot be compared: objectives differ (got {found}; expected {expected} "
                f"as in arm {snapshots[0].arm!r})",
                path=snapshot.arm,
                source="report",
            )
        if snapshot.arm in seen:
            raise ConfigError("two arms have this name", path=snapshot.arm, source="report")
        seen.add(snapshot.arm)


def _scored(snapshot: Snapshot) -> tuple[Trial, ...]:
    count = len(snapshot.objectives)
    return tuple(
        t
        for t in snapshot.trials
        if t.status == "complete"
        and t.values is not None
        and len(t.values) == count > 0
        and all(math.isfinite(v) for v in t.values)
    )


def _reference(
    objectives: Sequence[Metric], scored: Sequence[Trial], given: Mapping[str, float]
) -> tuple[float, ...] | None:
    if not scored:
        return None
    corner = []
    for index, metric in enumerate(objectives):
        column = [values_of(t)[index] for t in scored]
        worst, sign = (max(column), 1.0) if metric.goal == "min" else (min(column), -1.0)
        # A trial that is worst in one objective would cover nothing at a reference without margin.
        beyond = _MARGIN * ((max(column) - min(column)) or abs(worst) or 1.0)
        corner.append(float(given.get(metric.name, worst + sign * beyond)))
    return tuple(corner)


def _arm(snapshot: Snapshot, scored: tuple[Trial, ...], reference: tuple[float, ...] | None) -> Arm:
    ended = sorted(
        (t for t in snapshot.trials if t.status != "running"),
        key=lambda t: (t.finished if t.finished is not None else math.inf, t.number),
    )
    feasible = [t for t in scored if t.feasible]
    goals: list[Goal] = [m.goal for m in snapshot.objectives]
    front: list[Trial] = []
    if feasible:
        front = [feasible[i] for i in non_dominated([values_of(t) for t in feasible], goals)]
        sign = 1.0 if goals[0] == "max" else -1.0
        front.sort(key=lambda t: (sign * values_of(t)[0], t.number))
    return Arm(snapshot, tuple(ended), scored, tuple(front),
               _history(ended, feasible, reference, goals))  # fmt: skip


def _history(
    ended: Sequence[Trial],
    feasible: Sequence[Trial],
    reference: tuple[float, ...] | None,
    goals: Sequence[Goal],
) -> tuple[float, ...]:
    if reference is None:
        return ()
    numbers = {t.number for t in feasible}
    counted = [t for t in ended if t.number in numbers]
    volumes = iter(hypervolume_history([values_of(t) for t in counted], reference, goals))
    history, volume = [], 0.0
    for trial in ended:
        if trial.number in numbers:
            volume = next(volumes)
        history.append(volume)
    return tuple(history)
