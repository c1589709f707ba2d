"""Tools for any study: check, evaluate, history, front, difference, commit."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from agents.api import Json, Tool
from agents.tools.arguments import (
    DiffArguments,
    EvaluateArguments,
    HistoryArguments,
    Nothing,
    PointArguments,
    TrialArguments,
)
from agents.workbench import StudyBench, plain_point
from search.api.candidate import Violation
from search.api.domain import Param, point_digest
from search.api.trial import Trial
from search.results import front

_LONGEST = 300
_PATH = re.compile(r"(?<![\w.])(?:~|[A-Za-z]:)?(?:[/\\][\w.@+-]+){2,}[/\\]?")


def general_tools(bench: StudyBench) -> list[Tool]:
    """The tools that need nothing but a study."""
    return [
        Tool(
            "check",
            "Whether a configuration is legal; every rule it breaks and the nearest legal one.",
            PointArguments,
            lambda a: check(bench, a),
        ),
        Tool(
            "evaluate",
            "Climb the ladder with a configuration, as a recorded trial. Rungs that encrypt are "
            "limited; equal requests are answered from the history.",
            EvaluateArguments,
            lambda a: evaluate(bench, a),
            dear=bool(bench.dear_rungs),
        ),
        Tool(
            "history",
            "The latest trials: configuration, result, and what was wrong.",
            HistoryArguments,
            lambda a: history(bench, a),
        ),
        Tool(
            "front",
            "Confirmed trials that no other one beats in every objective, and the best for the "
            "goal.",
            Nothing,
            lambda a: shown_front(bench),
        ),
        Tool(
            "diff",
            "What differs between two trials: parameters and measurements.",
            DiffArguments,
            lambda a: diff(bench, a),
        ),
        Tool(
            "commit",
            "Choose a confirmed trial as the result of the session.",
            TrialArguments,
            lambda a: commit(bench, a),
        ),
    ]


def check(bench: StudyBench, arguments: PointArguments) -> Json:
    """Legal or not, and why."""
    point = bench.point(arguments.point)
    broken = list(bench.check(point))
    if not broken and bench.forecast is not None:
        broken = list(bench.forecast.effect(point, precision=False).broken)
    answer: dict[str, Any] = {"legal": not broken}
    if broken:
        answer["broken"] = [shown_rule(v) for v in broken]
        near = bench.nearest(point)
        if near is not None and point_digest(near) != point_digest(point):
            answer["nearest"] = plain_point(near)
    return answer


def evaluate(bench: StudyBench, arguments: EvaluateArguments) -> Json:
    """A trial, and what is left of the dear runs."""
    up_to = arguments.up_to or free_rung(bench)
    trial = bench.evaluate(
        bench.point(arguments.point), up_to, arguments.reason or "asked for by a tool call"
    )
    left = bench.limits.encrypted_runs - bench.spent.encrypted_runs
    return {**shown_trial(bench, trial, point=False), "encrypted_runs_left": left}


def history(bench: StudyBench, arguments: HistoryArguments) -> Json:
    """The latest trials."""
    trials = [t for t in bench.trials() if not (arguments.failed and bench.feasible(t))]
    return {
        "all": len(bench.trials()),
        "trials": [shown_trial(bench, t) for t in trials[-arguments.last :]],
    }


def shown_front(bench: StudyBench) -> Json:
    """The front among trials that meet the demands, and the best of it for the goal."""
    confirmed = [t for t in bench.trials() if bench.confirmed(t)]
    best = bench.best()
    return {
        "trials": [shown_trial(bench, t) for t in front(confirmed, bench.study.objectives)],
        "best": None if best is None else best.number,
    }


def diff(bench: StudyBench, arguments: DiffArguments) -> Json:
    """Parameters and last measurements that differ."""
    one, other = bench.trial(arguments.one), bench.trial(arguments.other)
    points = [plain_point(one.point), plain_point(other.point)]
    values = [_measured(one), _measured(other)]
    return {
        "parameters": _different(*points),
        "measured": _different(*values),
        "same_parameters": sorted(
            n for n in points[0] if n in points[1] and points[0][n] == points[1][n]
        ),
    }


def commit(bench: StudyBench, arguments: TrialArguments) -> Json:
    """The chosen trial."""
    trial = bench.commit(arguments.trial)
    return {"committed": trial.number, **shown_trial(bench, trial)}


def free_rung(bench: StudyBench) -> str:
    """The highest rung below the first at which the whole network is encrypted."""
    dear = [bench.rungs.index(rung) for rung in bench.dear_rungs]
    return bench.rungs[max(0, min(dear, default=len(bench.rungs)) - 1)]


def shown_trial(bench: StudyBench, trial: Trial, point: bool = True) -> dict[str, Any]:
    """A trial as JSON: no path, no host, no artefact."""
    outcome = trial.outcome
    rungs = outcome.rungs if outcome is not None else ()
    shown: dict[str, Any] = {
        "trial": trial.number,
        "by": trial.origin.by,
        "status": trial.status,
        "reached": rungs[-1].rung if rungs else None,
        "feasible_so_far": bench.feasible(trial),
        "confirmed": bench.confirmed(trial),
        "measured": _measured(trial),
    }
    if point:
        shown["point"] = plain_point(trial.point)
    missed = {t: round(by, 6) for t, by in bench.misses(trial).items() if by > 0}
    if missed:
        shown["missed_by"] = missed
    broken = {n: round(e, 6) for n, e in (outcome.excess if outcome else {}).items() if e > 0}
    if broken:
        shown["broken"] = broken
    if outcome is not None and outcome.error:
        shown["error"] = plain_text(outcome.error)
    return shown


def shown_rule(violation: Violation) -> dict[str, Any]:
    """A broken rule as JSON."""
    return {
        "rule": violation.rule,
        "detail": plain_text(violation.detail),
        "excess": violation.excess,
        "unit": violation.unit,
    }


def shown_param(param: Param) -> dict[str, Any]:
    """A parameter as JSON."""
    shown: dict[str, Any] = {"name": param.name, "values": param.domain.describe()}
    if param.unit not in ("", "1"):
        shown["unit"] = param.unit
    if param.doc:
        shown["meaning"] = param.doc
    if param.when:
        shown["only_if"] = {name: list(options) for name, options in param.when.items()}
    return shown


def plain_text(text: str) -> str:
    """The first line of a message without paths of this machine and control characters."""
    line = text.strip().partition("\n")[0]
    line = "".join(c if c.isprintable() else " " for c in _PATH.sub("[path]", line))
    return line if len(line) <= _LONGEST else line[: _LONGEST - 3] + "..."


def _measured(trial: Trial) -> dict[str, str]:
    """Metric -> last value with unit and evidence."""
    found = {}
    for m in trial.outcome.measurements if trial.outcome else ():
        if m.split != "test":
            found[m.metric] = f"{m.value:.6g} {m.unit} ({m.evidence})"
    return found


def _different(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, list[Any]]:
    names = dict.fromkeys((*one, *other))
    return {n: [one.get(n), other.get(n)] for n in names if one.get(n) != other.get(n)}
