"""All trials as CSV: one row per trial, numbers at full precision.

Columns: ``arm``, ``trial``, ``status``, ``feasible``, ``on front``, one ``objective NAME [unit]``
per objective, one ``NAME [unit]`` and one ``NAME evidence`` per metric (highest rung, not the test
split), ``NAME test split [unit]`` where one was taken, ``excess RULE [unit]`` per constraint or
rule, one ``param NAME [unit]`` per parameter (vectors as JSON), ``seconds``, ``seed``, ``origin``,
``origin by``, ``origin reason``, ``error`` (first line). Cells without a value are empty.

Text that a spreadsheet would run as a formula gets a leading apostrophe.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping

from search.api.metric import Metric
from search.api.trial import Trial
from search.report.family import Arm, Family
from search.report.numbers import compact_json, first_line, label, on_test_split, value_in
from search.report.provenance import measurements_of, metrics_of
from search.report.tables import constraint_units

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def render_csv(family: Family) -> str:
    """The file's text, header first."""
    columns = _columns(family)
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, columns, restval="", lineterminator="\n")
    writer.writerow({name: _cell(name) for name in columns})
    metrics = metrics_of(family)
    for arm in family.arms:
        front = {trial.number for trial in arm.front}
        units = constraint_units(arm.snapshot)
        for trial in arm.snapshot.trials:
            row = _row(arm, trial, metrics) | _excess(trial, units)
            row["on front"] = trial.number in front
            writer.writerow({name: _cell(value) for name, value in row.items()})
    return out.getvalue()


def _columns(family: Family) -> list[str]:
    metrics = metrics_of(family)
    tested = {m.metric for m in measurements_of(family) if m.split == "test"}
    names = ["arm", "trial", "status", "feasible", "on front"]
    names += [f"objective {label(m)}" for m in family.objectives]
    for metric in metrics.values():
        names += [label(metric), f"{metric.name} evidence"]
        names += [_test(metric)] * (metric.name in tested)
    for arm in family.arms:
        names += [f"param {_with_unit(p.name, p.unit)}" for p in arm.snapshot.params]
    for arm in family.arms:
        # Rules of the space and parameters from before a change of the study are found in trials.
        units = constraint_units(arm.snapshot)
        found = dict.fromkeys(
            name for t in arm.snapshot.trials for name in (*_excess(t, units), *_params(arm, t))
        )
        names += found
    names += ["seconds", "seed", "origin", "origin by", "origin reason", "error"]
    return list(dict.fromkeys(names))


def _row(arm: Arm, trial: Trial, metrics: Mapping[str, Metric]) -> dict[str, object]:
    outcome = trial.outcome
    row: dict[str, object] = {
        "arm": arm.name,
        "trial": trial.number,
        "status": trial.status,
        "feasible": trial.feasible,
        "seed": trial.seed,
        "origin": trial.origin.kind,
        "origin by": trial.origin.by,
        "origin reason": trial.origin.reason,
        **_params(arm, trial),
    }
    for metric, value in zip(arm.snapshot.objectives, trial.values or (), strict=False):
        row[f"objective {label(metric)}"] = value
    if outcome is None:
        return row
    for metric in metrics.values():
        found, test = trial.measurement(metric.name), on_test_split(trial, metric.name)
        if found is not None:
            row[label(metric)] = value_in(found, metric.unit)
            row[f"{metric.name} evidence"] = found.evidence
        if test is not None:
            row[_test(metric)] = value_in(test, metric.unit)
    return row | {"seconds": outcome.seconds, "error": first_line(outcome.error)}


def _params(arm: Arm, trial: Trial) -> dict[str, object]:
    units = {p.name: p.unit for p in arm.snapshot.params}
    return {
        f"param {_with_unit(name, units.get(name, ''))}": (
            compact_json(value) if isinstance(value, tuple) else value
        )
        for name, value in trial.point.items()
    }


def _excess(trial: Trial, units: constraint_units) -> dict[str, object]:
    told = trial.outcome.excess if trial.outcome else {}
    return {f"excess {_with_unit(name, units.of(name))}": value for name, value in told.items()}


def _test(metric: Metric) -> str:
    return _with_unit(f"{metric.name} test split", metric.unit)


def _with_unit(name: str, unit: str) -> str:
    return f"{name} [{unit}]" if unit else name


def _cell(value: object) -> object:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str) and value.startswith(_FORMULA):
        return "'" + value
    return value
