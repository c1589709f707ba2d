"""Trials, goals and budgets as short texts for a terminal."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping

from agents.api import Limits, Spent
from agents.goals import PREDICTED_BY
from agents.workbench import StudyBench
from search.api.domain import Point, Value
from search.api.metric import Measurement
from search.api.trial import Trial

_UNITS = {"tokens": "", "seconds": " s", "money": ""}


def point_line(point: Mapping[str, Value]) -> str:
    """``name=value`` pairs; long vectors are shortened."""
    return ", ".join(f"{name}={_value(value)}" for name, value in point.items())


def _value(value: Value) -> str:
    if not isinstance(value, tuple):
        return f"{value:.4g}" if isinstance(value, float) else str(value)
    shown = " ".join(map(str, value[:6])) + (" …" if len(value) > 6 else "")
    return f"({shown})"


def changed(before: Point, after: Point) -> str:
    """The knobs that differ, as ``name before -> after``."""
    names = [*before, *(n for n in after if n not in before)]
    return ", ".join(
        f"{n} {_value(before[n]) if n in before else '-'} -> "
        f"{_value(after[n]) if n in after else '-'}"
        for n in names
        if before.get(n) != after.get(n)
    )


def measured(m: Measurement) -> str:
    """A number with its unit and evidence."""
    unit = "" if m.unit == "1" else f" {m.unit}"
    return f"{m.metric} {m.value:.4g}{unit} ({m.evidence})"


def known(trial: Trial, metric: str) -> Measurement | None:
    """What is known of a metric: measured, else what foretells it; None if neither."""
    return trial.measurement(metric) or trial.measurement(PREDICTED_BY.get(metric, metric))


def trial_line(bench: StudyBench, trial: Trial) -> str:
    """One trial: what it is, how far it climbed, and what matters of it."""
    wanted = [bench.goal.minimise, *(a.metric.name for a in bench.aims)]
    found = [m for name in dict.fromkeys(wanted) if (m := known(trial, name)) is not None]
    rungs = trial.outcome.rungs if trial.outcome is not None else ()
    reached = rungs[-1].rung if rungs else "no rung"
    verdict = "meets the goal" if bench.confirmed(trial) else _verdict(bench, trial)
    numbers = "; ".join(map(measured, found)) or "nothing measured"
    return f"#{trial.number} [{reached}, {verdict}] {numbers} | {point_line(trial.point)}"


def _verdict(bench: StudyBench, trial: Trial) -> str:
    if trial.status in ("failed", "crashed", "infeasible", "running"):
        return trial.status
    return "not confirmed" if foretold(bench, trial) else "misses the goal"


def foretold(bench: StudyBench, trial: Trial) -> bool:
    """Whether nothing that is known of the trial, foretold or measured, misses a demand."""
    if not bench.feasible(trial):
        return False
    found = [(aim, known(trial, aim.metric.name)) for aim in bench.aims]
    return all(m is None or aim.excess(m.value) <= 0 for aim, m in found)


def demand_lines(bench: StudyBench, trial: Trial) -> Iterable[str]:
    """Every demand with what is known, and whether it holds."""
    for aim in bench.aims:
        found = known(trial, aim.metric.name)
        if found is None:
            yield f"{aim.constraint}: not known yet"
        else:
            verdict = "holds" if aim.excess(found.value) <= 0 else "is missed"
            yield f"{aim.constraint}: {verdict}, {measured(found)}"


def budget_line(spent: Spent, limits: Limits) -> str:
    """What is spent of every limit."""
    values = dataclasses.asdict(spent)
    return ", ".join(
        f"{name} {values[name]:.4g} of {limit:.6g}{_UNITS.get(name, '')}"
        for name, limit in dataclasses.asdict(limits).items()
    )


def left(limits: Limits, spent: Spent) -> Limits:
    """What is left of the limits."""
    used = dataclasses.asdict(spent)
    return Limits(**{n: max(0, v - used[n]) for n, v in dataclasses.asdict(limits).items()})


def added(one: Spent, other: Spent) -> Spent:
    """What both have spent."""
    second = dataclasses.asdict(other)
    return Spent(**{n: v + second[n] for n, v in dataclasses.asdict(one).items()})
