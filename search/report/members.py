"""Accuracy against budget for every member of trials that are sets of networks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from search.api.metric import Metric
from search.api.trial import Trial
from search.report.ensemble import BUDGETS, bases_of, member_payloads, nonzeros_of
from search.report.family import Arm, Family
from search.report.figures import axis_title, drawn, tidy
from search.report.numbers import label, on_test_split
from search.report.palette import arm_style
from search.report.provenance import evidence_of
from search.report.table import Cell, Quantity, Table
from search.report.tables import UNSEEN, quantity

_MOST_TRIALS = 40  # of a front, in the table; the picture has all


def has_members(family: Family) -> bool:
    """Whether a trial on a front is a set of networks that were measured one by one."""
    return any(bases_of(arm.snapshot.metrics) and _sets(arm) for arm in family.arms)


def members_tables(family: Family) -> list[Table]:
    """For each arm with such trials, every member of every trial on its front."""
    found = [members_table(arm) for arm in family.arms if bases_of(arm.snapshot.metrics)]
    return [table for table in found if table.rows]


def members_table(arm: Arm) -> Table:
    """Every member of the trials on the front: density, weights, and all that was measured."""
    study = arm.snapshot
    metrics = [replace(study.metrics[f"{b}.1"], name=b) for b in bases_of(study.metrics)]
    sets = _sets(arm)
    tested = [m for m in metrics if any(on_test_split(t, f"{m.name}.1") for t in sets)]
    rows: list[tuple[Cell, ...]] = []
    for trial in sets[:_MOST_TRIALS]:
        for number, payload in enumerate(member_payloads(trial), start=1):
            density = payload.get("density")
            row: list[Cell] = [trial.number, number]
            row.append(100.0 * density if isinstance(density, (int, float)) else None)
            row.append(nonzeros_of(payload))
            row += [_of_member(trial, m, number) for m in metrics]
            for m in tested:
                test = on_test_split(trial, f"{m.name}.{number}")
                row.append(Quantity.of(test, m.unit) if test else None)
            rows.append(tuple(row))
    notes = ["Members of one trial share one file of weights; 1 is the sparsest."]
    return Table(
        f"members-{arm.name}",
        f"Members of the front of {arm.name}",
        (
            "trial",
            "member",
            "density [%]",
            "weights that are not zero",
            *map(label, metrics),
            *(f"{m.name}, test split [{m.unit}]" for m in tested),
        ),
        tuple(rows),
        note=" ".join(notes + [UNSEEN] * bool(tested)),
        empty="No trial of the front is a set of networks.",
    )


def render_members(family: Family, form: str) -> bytes:
    """Accuracy (or the first metric that is to be high) against budget: one line for each trial on
    a front, one mark for each member.

    Args:
        family: what to draw; ``has_members`` must hold.
        form: ``png`` or ``svg``.
    """
    return drawn(lambda figure: _draw(figure, family), (7.2, 4.8), form)


def _draw(figure: Any, family: Family) -> None:
    panel = figure.add_subplot(1, 1, 1)
    tidy(panel)
    axes = _axes(family)
    if axes is None:
        panel.set_axis_off()
        panel.text(0.5, 0.5, "Members have no two metrics to draw.", ha="center")
        return
    budget, score = axes
    for index, arm in enumerate(family.arms):
        colour, _, marker = arm_style(index)
        for first, trial in enumerate(_sets(arm)):
            points = [
                (x.value, y.value)
                for number in range(1, len(member_payloads(trial)) + 1)
                if (x := _of_member(trial, budget, number)) is not None
                and (y := _of_member(trial, score, number)) is not None
            ]
            if points:
                panel.plot(
                    *zip(*points, strict=True), color=colour, marker=marker, linewidth=1.4,
                    markeredgecolor="white", label=None if first else f"{arm.name}, members",
                )  # fmt: skip
    evidence = evidence_of(family)
    shown = {m.name: evidence.get(f"{m.name}.1", "never taken") for m in (budget, score)}
    panel.set_xlabel(axis_title(budget, shown))
    panel.set_ylabel(axis_title(score, shown))
    handles, labels = panel.get_legend_handles_labels()
    if handles:
        figure.legend(handles, labels, loc="outside upper center", ncols=min(4, len(labels)),
                      frameon=False)  # fmt: skip


def _axes(family: Family) -> tuple[Metric, Metric] | None:
    """(budget, score): what members cost and what they are worth, None if one is missing."""
    metrics: dict[str, Metric] = {}
    for arm in family.arms:
        for base in bases_of(arm.snapshot.metrics):
            metrics.setdefault(base, replace(arm.snapshot.metrics[f"{base}.1"], name=base))
    known = [name for name in BUDGETS if name in metrics]
    known += [name for name, m in metrics.items() if m.goal == "min"]
    scores = [m for m in metrics.values() if m.goal == "max"]
    return (metrics[known[0]], scores[0]) if known and scores else None


def _sets(arm: Arm) -> list[Trial]:
    return [trial for trial in arm.front if member_payloads(trial)]


def _of_member(trial: Trial, metric: Metric, number: int) -> Quantity | None:
    return quantity(trial, replace(metric, name=f"{metric.name}.{number}"))
