"""``search show``: a study's trials, or all that is known about one of them."""

from __future__ import annotations

import json as json_module
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from search.api.candidate import to_plain
from search.api.errors import StoreError
from search.api.metric import Measurement
from search.api.snapshot import Snapshot
from search.api.trial import Trial
from search.cli.family import done, front, read_family
from search.cli.progress import values_of
from search.cli.text import (
    duration,
    facts,
    number,
    objective,
    point_text,
    table,
    value_text,
)
from search.plural import plural
from search.study import Study

_LONG, _TAIL = 60, 30


def show_study(run: Path, *, storage: str | None, every: bool, json: bool) -> None:
    """Print the state of a run and its trials; a ``*`` marks the front.

    Raises:
        StoreError: no run directory.
    """
    snapshot, *baselines = read_family(run, storage)
    if json:
        print(json_module.dumps(study_data(snapshot, baselines), indent=1, default=str))
        return
    print(_heading(snapshot, baselines))
    on_front = {t.number for t in front(snapshot)}
    trials = list(snapshot.trials)
    hidden = 0
    if len(trials) > _LONG and not every:
        tail = {t.number for t in trials[-_TAIL:]}
        shown = [t for t in trials if t.number in on_front | tail]
        hidden, trials = len(trials) - len(shown), shown
    header = ("", "trial", "status", *(f"{m.name} [{m.unit}]" for m in snapshot.objectives),
              "time", "origin", "point")  # fmt: skip
    print(table(header, [_row(t, snapshot, t.number in on_front) for t in trials]))
    if hidden:
        print(f"{plural(hidden, 'trial')} not shown (--all shows them)")


def show_trial(run: Path, trial_number: int, *, storage: str | None, json: bool) -> None:
    """Print everything about one trial.

    Raises:
        StoreError: no run directory or no such trial.
    """
    snapshot = Study.read(run, storage)
    trial = find_trial(snapshot, trial_number)
    if json:
        data = {**to_plain(trial), "values": values_of(trial, snapshot.objectives)}
        print(json_module.dumps(data, indent=1, default=str))
        return
    print(_trial_text(snapshot, trial))


def find_trial(snapshot: Snapshot, trial_number: int) -> Trial:
    """The trial of that number.

    Raises:
        StoreError: there is none.
    """
    for trial in snapshot.trials:
        if trial.number == trial_number:
            return trial
    count = len(snapshot.trials)
    known = f"0 to {count - 1}" if count else "none"
    raise StoreError(f"{snapshot.directory}: no trial {trial_number} (there are: {known})")


def study_data(snapshot: Snapshot, baselines: Iterable[Snapshot]) -> dict[str, Any]:
    """A study as one JSON object."""
    return {
        "study": snapshot.study,
        "arm": snapshot.arm,
        "directory": str(snapshot.directory),
        "digest": snapshot.digest,
        "searcher": {"name": snapshot.searcher, "reason": snapshot.searcher_reason},
        "objectives": to_plain(snapshot.objectives),
        "constraints": [str(c) for c in snapshot.constraints],
        "seconds": snapshot.seconds,
        "done": done(snapshot.trials),
        "front": [t.number for t in front(snapshot)],
        "baselines": [str(s.directory) for s in baselines],
        "teacher": to_plain(snapshot.teacher),
        "versions": dict(snapshot.versions),
        "trials": [
            {
                "number": t.number,
                "status": t.status,
                "feasible": t.feasible,
                "values": values_of(t, snapshot.objectives),
                "point": to_plain(t.point),
                "seconds": t.outcome.seconds if t.outcome else None,
                "origin": to_plain(t.origin),
            }
            for t in snapshot.trials
        ],
    }


def _heading(snapshot: Snapshot, baselines: Iterable[Snapshot]) -> str:
    total = snapshot.spec.get("budget", {}).get("trials")
    searcher = f"{snapshot.searcher}: {snapshot.searcher_reason}".rstrip(": ")
    return facts(
        [
            ("study", f"{snapshot.study} ({snapshot.arm}), digest {snapshot.digest}"),
            ("searcher", searcher),
            ("objectives", ", ".join(objective(m) for m in snapshot.objectives)),
            ("constraints", ", ".join(str(c) for c in snapshot.constraints)),
            ("trials", f"{done(snapshot.trials)} of {total} done in {duration(snapshot.seconds)}"),
            ("original", _pairs(snapshot.teacher)),
            ("baselines", "\n".join(f"{s.arm}: {s.directory}" for s in baselines)),
            ("front", f"{plural(len(front(snapshot)), 'trial')}, marked *"),
        ]
    ) + "\n"  # fmt: skip


def _row(trial: Trial, snapshot: Snapshot, on_front: bool) -> list[str]:
    values = [number(v) for v in trial.values] if trial.values else [""] * len(snapshot.objectives)
    status: str = trial.status
    if status == "complete" and not trial.feasible:
        status = "over bound"
    seconds = duration(trial.outcome.seconds) if trial.outcome else ""
    return [
        "*" if on_front else "",
        f"#{trial.number}",
        status,
        *values,
        seconds,
        _origin(trial),
        point_text(trial.point, 12),
    ]


def _origin(trial: Trial) -> str:
    origin = trial.origin
    parent = f" of #{origin.parent}" if origin.parent is not None else ""
    return origin.kind + parent


def _trial_text(snapshot: Snapshot, trial: Trial) -> str:
    outcome = trial.outcome
    sections = [
        facts(
            [
                ("trial", f"#{trial.number} of {snapshot.study} ({snapshot.arm})"),
                ("status", trial.status + ("" if trial.feasible else ", not feasible")),
                ("started", _when(trial.started)),
                ("finished", _when(trial.finished)),
                ("seed", str(trial.seed)),
                ("origin", _origin_text(trial)),
                ("worker", outcome.worker if outcome else ""),
                ("time", duration(outcome.seconds) if outcome else ""),
            ]
        ),
        "point\n" + facts(((k, value_text(v)) for k, v in trial.point.items()), "  "),
    ]
    if outcome is not None:
        if outcome.measurements:
            sections.append("measurements\n" + _measurements(outcome.measurements))
        if outcome.rungs:
            rows = [(r.rung, duration(r.seconds)) for r in outcome.rungs]
            sections.append("rungs\n" + table(("rung", "time"), rows, "  "))
        if outcome.excess:
            bounds = [(k, f"{v:+.4g}", "no" if v > 0 else "yes") for k, v in outcome.excess.items()]
            sections.append("bounds\n" + table(("bound", "excess", "met"), bounds, "  "))
        if outcome.candidate is not None:
            sections.append(_candidate(snapshot, outcome.candidate))
        if outcome.notes:
            notes = ((k, _short_json(v)) for k, v in outcome.notes.items())
            sections.append("notes\n" + facts(notes, "  "))
        if trial.artefacts:
            rows = [(name, str(path)) for name, path in trial.artefacts.items()]
            sections.append("artefacts\n" + table(("name", "file"), rows, "  "))
        if outcome.error:
            sections.append("error\n  " + outcome.error.rstrip().replace("\n", "\n  "))
    return "\n\n".join(sections)


def _measurements(found: Iterable[Measurement]) -> str:
    rows = [
        (m.fidelity, m.metric, number(m.value, m.unit),
         m.evidence, _interval(m), str(m.n), m.split)
        for m in found
    ]  # fmt: skip
    header = ("rung", "metric", "value", "evidence", "95 % or error", "n", "split")
    return table(header, rows, "  ")


def _interval(m: Measurement) -> str:
    if m.low is not None and m.high is not None:
        return f"{number(m.low)} to {number(m.high)}"
    return f"± {number(m.std)}" if m.std is not None else ""


def _candidate(snapshot: Snapshot, candidate: Mapping[str, Any]) -> str:
    text = f"candidate {candidate['kind']} {candidate['digest']}"
    if candidate.get("parent"):
        text += f", from {candidate['parent']}"
    payload = candidate.get("payload")
    choices = payload.get("choices") if isinstance(payload, Mapping) else None
    if not choices:
        return f"{text}\n  {_short_json(payload, 2000)}"
    sites = {s.name: s for s in snapshot.sites}
    rows = []
    for choice in choices:
        site = sites.get(choice["site"])
        shape = "x".join(map(str, site.input_shape)) if site else ""
        was = site.operator if site else ""
        rows.append(
            (choice["site"], choice["operator"], was, shape, f"{site.elements:,}" if site else "")
        )
    return f"{text}\n" + table(("site", "operator", "original", "shape", "elements"), rows, "  ")


def _origin_text(trial: Trial) -> str:
    origin = trial.origin
    by = f" by {origin.by}" if origin.by else ""
    return _origin(trial) + by + (f": {origin.reason}" if origin.reason else "")


def _pairs(data: Mapping[str, Any]) -> str:
    return ", ".join(f"{k} {_short_json(v, 40)}" for k, v in data.items())


def _short_json(value: Any, limit: int = 200) -> str:
    if isinstance(value, float):
        return number(value)
    text = value if isinstance(value, str) else json_module.dumps(value, default=str)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _when(seconds: float | None) -> str:
    return "" if seconds is None else time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))
