"""The tables about trials: fronts, best trials, baselines, counts, constraints, failures, time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from statistics import median

from search.api.metric import Constraint, Metric
from search.api.snapshot import Snapshot
from search.api.trial import Trial
from search.plural import plural
from search.report.ensemble import of_members
from search.report.family import Arm, Family, values_of
from search.report.numbers import (
    first_line,
    format_point,
    format_seconds,
    label,
    on_test_split,
)
from search.report.plan import plan_summary
from search.report.table import Cell, Quantity, Table

STATUSES = ("complete", "gated", "infeasible", "failed", "crashed", "running")
UNSEEN = "Values on the test split took no part in choosing or ranking trials."
_MOST_ROWS = 200  # of a front; all are in trials.csv


def quantity(trial: Trial, metric: Metric, value: float | None = None) -> Quantity | None:
    """What a trial has for ``metric``; for an objective give its ``value``, which then counts."""
    measurement = trial.measurement(metric.name)
    if measurement is None:
        return None if value is None else Quantity(value)
    found = Quantity.of(measurement, metric.unit)
    if value is None or abs(value - found.value) <= 1e-9 * max(1.0, abs(value)):
        return found
    return Quantity(value, evidence=found.evidence)


def objective_cells(trial: Trial, objectives: Sequence[Metric]) -> list[Cell]:
    """The objective values of a scored trial."""
    return [quantity(trial, m, v) for m, v in zip(objectives, values_of(trial), strict=True)]


def front_table(arm: Arm) -> Table:
    """Every trial of the front: objectives, other metrics, test split, parameters and plan."""
    study = arm.snapshot
    chosen = {m.name for m in study.objectives}
    # Values of members have a table of their own.
    apart = of_members(study.metrics)
    others = [m for name, m in study.metrics.items() if name not in chosen | apart]
    others = [m for m in others if any(t.measurement(m.name) for t in arm.front)]
    tested = [
        m
        for name, m in study.metrics.items()
        if name not in apart - chosen and any(on_test_split(t, name) for t in arm.front)
    ]
    with_plan = any(plan_summary(t) for t in arm.front)
    rows = []
    for t in arm.front[:_MOST_ROWS]:
        row: list[Cell] = [t.number, *objective_cells(t, study.objectives)]
        row += [quantity(t, m) for m in others]
        for m in tested:
            test = on_test_split(t, m.name)
            row.append(Quantity.of(test, m.unit) if test else None)
        row += [plan_summary(t)] * with_plan + [format_point(t.point)]
        rows.append(tuple(row))
    notes = ["Intervals are 95 %."] + [UNSEEN] * bool(tested)
    if len(arm.front) > _MOST_ROWS:
        notes.append(
            f"{len(arm.front) - _MOST_ROWS} further trials of the front are in trials.csv."
        )
    columns = ["trial", *map(label, study.objectives), *map(label, others)]
    columns += [f"{m.name}, test split [{m.unit}]" for m in tested]
    columns += ["operators"] * with_plan + ["parameters"]
    return Table(
        f"front-{arm.name}",
        f"Front of {arm.name}",
        tuple(columns),
        tuple(rows),
        note=" ".join(notes),
        empty="No trial is complete and feasible.",
    )


def best_table(family: Family) -> Table:
    """The best single feasible trial of every arm for every objective."""
    rows: list[tuple[Cell, ...]] = []
    for index, metric in enumerate(family.objectives):
        for arm in family.arms:
            trial = arm.best(index)
            if trial is not None:
                cells = objective_cells(trial, family.objectives)
                way = "lowest" if metric.goal == "min" else "highest"
                rows.append((f"{way} {metric.name}", arm.name, trial.number, *cells))
    return Table(
        "best",
        "Best single trials",
        ("objective", "arm", "trial", *map(label, family.objectives)),
        tuple(rows),
        empty="No trial is complete and feasible.",
    )


def baselines_table(family: Family) -> Table:
    """All arms side by side: trials, front size, hypervolume, best values."""
    common = family.common_trials
    ours = family.volume_at(family.main, common)
    rows = []
    for arm in family.arms:
        at_common = family.volume_at(arm, common)
        share = 100 * at_common / ours if at_common is not None and ours else None
        best: list[Cell] = []
        for index, metric in enumerate(family.objectives):
            trial = arm.best(index)
            best.append(quantity(trial, metric, values_of(trial)[index]) if trial else None)
        rows.append(
            (arm.name, arm.snapshot.searcher or "–", len(arm.ended), len(arm.front),
             arm.hypervolume, at_common, share, *best)
        )  # fmt: skip
    return Table(
        "baselines",
        "Arms side by side",
        (
            "arm",
            "searcher",
            "trials ended",
            "front size",
            f"hypervolume [{family.volume_unit}]",
            f"hypervolume at {plural(common, 'trial')} [{family.volume_unit}]",
            f"relative to {family.main.name} [%]",
            *(f"best {label(m)}" for m in family.objectives),
        ),
        tuple(rows),
        note=f"{family.reference_note} The relative column compares all arms after the same number "
        f"of ended trials ({common}).",
    )


def counts_table(family: Family) -> Table:
    """How many trials of every arm ended how."""
    rows: list[tuple[Cell, ...]] = []
    for arm in family.arms:
        counts = Counter[str](t.status for t in arm.snapshot.trials)
        rows.append((arm.name, len(arm.snapshot.trials), *(counts[s] for s in STATUSES),
                     len(arm.feasible), len(arm.front)))  # fmt: skip
    return Table(
        "counts",
        "Trials by status",
        ("arm", "trials", *STATUSES, "complete and feasible", "on the front"),
        tuple(rows),
        note="Gated: a gate of the ladder stopped the trial early. Infeasible: the point could not "
        "be built. Failed: an evaluator or the method raised. Crashed: the worker died.",
    )


def constraints_table(family: Family) -> Table:
    """Which constraints and rules were broken, how often and by how much."""
    rows: list[tuple[Cell, ...]] = []
    for arm in family.arms:
        units = constraint_units(arm.snapshot)
        names = dict.fromkeys(units.by_text)
        outcomes = [t.outcome for t in arm.snapshot.trials if t.outcome]
        names |= dict.fromkeys(name for o in outcomes for name in o.excess)
        for name in names:
            told = [o.excess[name] for o in outcomes if name in o.excess]
            broken = [e for e in told if e > 0]
            worst = max(broken, default=None)
            rows.append((arm.name, name, len(told), len(broken), worst, units.of(name) or None))
    return Table(
        "constraints",
        "Constraints",
        ("arm", "constraint or rule", "trials checked", "trials that break it", "worst excess",
         "unit of the excess"),
        tuple(rows),
        note="An excess of at most 0 is feasible.",
        empty="The study has no constraints, and no trial broke a rule of the space.",
    )  # fmt: skip


class constraint_units:  # noqa: N801  (reads as a function at the call)
    """Units of the excesses of a study's constraints, looked up by text or by metric."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.by_text = {str(c): c.unit for c in snapshot.constraints}
        self._by_metric = {c.metric: c.unit for c in snapshot.constraints}

    def of(self, name: str) -> str:
        """The unit of the excess called ``name``; empty if unknown (a rule of the space)."""
        known = self.by_text.get(name) or self._by_metric.get(name, "")
        if known:
            return known
        try:
            return Constraint.parse(name).unit  # a gate of the ladder
        except ValueError:
            return ""


def failures_table(family: Family) -> Table:
    """What went wrong, most frequent first."""
    rows: list[tuple[Cell, ...]] = []
    for arm in family.arms:
        messages: dict[tuple[str, str], list[int]] = {}
        for t in arm.snapshot.trials:
            if t.status in ("failed", "crashed") and t.outcome:
                key = (t.status, first_line(t.outcome.error) or "no message")
                messages.setdefault(key, []).append(t.number)
        for (status, message), numbers in sorted(messages.items(), key=lambda e: -len(e[1])):
            shown = ", ".join(map(str, numbers[:8])) + (", …" if len(numbers) > 8 else "")
            rows.append((arm.name, status, message, len(numbers), shown))
    return Table(
        "failures",
        "Failures",
        ("arm", "status", "message (first line)", "trials", "trial numbers"),
        tuple(rows),
        empty="No trial failed.",
    )


def timing_table(family: Family) -> Table:
    """Worker seconds per rung."""
    rows: list[tuple[Cell, ...]] = []
    for arm in family.arms:
        seconds: dict[str, list[float]] = {}
        for t in arm.snapshot.trials:
            for rung in t.outcome.rungs if t.outcome else ():
                seconds.setdefault(rung.rung, []).append(rung.seconds)
        for rung_name, spent in seconds.items():
            rows.append((arm.name, rung_name, len(spent), median(spent), max(spent), sum(spent)))
    walls = ", ".join(f"{a.name} {format_seconds(a.snapshot.seconds)}" for a in family.arms)
    return Table(
        "timing",
        "Time per rung",
        ("arm", "rung", "trials", "median [s]", "longest [s]", "total [s]"),
        tuple(rows),
        note=f"Seconds of the workers, measured. Wall clock of all sessions: {walls}.",
        empty="No rung was climbed.",
    )
