"""Where the numbers come from: evidence per metric, versions, seeds, specification."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from search.api.metric import EVIDENCE, Measurement, Metric
from search.api.snapshot import Snapshot
from search.report.family import Arm, Family
from search.report.numbers import compact_json, format_seconds
from search.report.table import Cell, Table

MEANING: Mapping[str, str] = {
    "bound": "a provable bound",
    "model": "computed from a formula and published constants; nothing was run",
    "simulated": "a simulation of behaviour, not the real system",
    "measured": "the real thing was run",
}


def measurements_of(family: Family) -> Iterator[Measurement]:
    """Every measurement of every trial of every arm."""
    for arm in family.arms:
        for trial in arm.snapshot.trials:
            if trial.outcome is not None:
                yield from trial.outcome.measurements


def metrics_of(family: Family) -> dict[str, Metric]:
    """Every metric of the family by name, objectives first."""
    found = {m.name: m for m in family.objectives}
    for arm in family.arms:
        for name, metric in arm.snapshot.metrics.items():
            found.setdefault(name, metric)
    for m in measurements_of(family):
        found.setdefault(m.metric, Metric(m.metric, m.unit, "min", "", ""))
    return found


def evidence_of(family: Family) -> dict[str, str]:
    """Metric -> kinds of evidence behind its values off the test split, strongest last."""
    kinds: dict[str, set[str]] = {}
    for m in measurements_of(family):
        if m.split != "test":
            kinds.setdefault(m.metric, set()).add(m.evidence)
    return {name: ", ".join(e for e in EVIDENCE if e in found) for name, found in kinds.items()}


def evidence_table(family: Family) -> Table:
    """What was modelled and what was measured: one row per metric, evidence and split."""
    chosen = {m.name for m in family.objectives}
    groups: Counter[tuple[str, str, str]] = Counter()
    rungs: dict[tuple[str, str, str], dict[str, None]] = {}
    for m in measurements_of(family):
        key = (m.metric, str(m.evidence), m.split)
        groups[key] += 1
        rungs.setdefault(key, {})[m.fidelity] = None
    rows: list[tuple[Cell, ...]] = []
    for metric in metrics_of(family).values():
        role = "objective" if metric.name in chosen else "other"
        better = "lower" if metric.goal == "min" else "higher"
        fixed: list[Cell] = [metric.name, metric.unit or "1", role, better]
        keys = [key for key in groups if key[0] == metric.name]
        for key in keys:
            where = ", ".join(rungs[key])
            about = (_meaning(metric, key[2]), metric.source or None)
            rows.append((*fixed, key[1], key[2] or None, groups[key], where, *about))
        if not keys:
            about = (_meaning(metric, ""), metric.source or None)
            rows.append((*fixed, "never taken", None, 0, None, *about))
    used = [e for e in EVIDENCE if any(row[4] == e for row in rows)]
    return Table(
        "evidence",
        "What was modelled and what was measured",
        ("metric", "unit", "role", "better", "evidence", "split", "values", "rungs", "meaning",
         "source"),
        tuple(rows),
        note=" ".join(f"{e}: {MEANING[e]}." for e in used),
    )  # fmt: skip


def _meaning(metric: Metric, split: str) -> str | None:
    """What a metric says; metrics describe themselves on the split that a search sees."""
    doc = metric.doc.replace("validation", "test") if split == "test" else metric.doc
    return doc or None


def provenance_table(family: Family) -> Table:
    """Everything one needs to repeat the study, one column per arm."""
    facts = [dict(_facts(arm)) for arm in family.arms]
    names = dict.fromkeys(name for fact in facts for name in fact)
    rows = tuple((name, *(fact.get(name) for fact in facts)) for name in names)
    return Table(
        "provenance",
        "How to repeat it",
        ("fact", *(arm.name for arm in family.arms)),
        rows,
    )


def study_seed(snapshot: Snapshot) -> Any:
    """The study's seed as its specification says it, or None."""
    study = snapshot.spec.get("study")
    return study.get("seed") if isinstance(study, Mapping) else snapshot.spec.get("seed")


def _facts(arm: Arm) -> Iterator[tuple[str, Cell]]:
    study = arm.snapshot
    yield "searcher", study.searcher or None
    yield "why this searcher", study.searcher_reason or None
    seed = study_seed(study)
    yield "seed of the study", None if seed is None else str(seed)
    yield "digest of the specification", study.digest
    yield "run directory", str(study.directory)
    yield "wall clock", format_seconds(study.seconds)
    for name, value in study.teacher.items():
        yield f"original network: {name}", value if isinstance(value, str) else compact_json(value)
    for name, version in study.versions.items():
        yield f"version: {name}", str(version)
