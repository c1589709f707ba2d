"""What the HTML page knows: trials by column, details of some trials, sites, styles."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from search.api.metric import Metric, convert
from search.api.network import Site
from search.api.trial import Trial
from search.report.encrypted import NOTES, chain_data
from search.report.family import Arm, Family, axis_pairs, best_so_far, is_wide, values_of
from search.report.importance import Importance
from search.report.json_file import sites_of
from search.report.numbers import compact_json, first_line, format_value, plain
from search.report.palette import arm_style, ink_on, operator_styles
from search.report.plan import choices_of, is_original, kept_of, plan_summary, searched
from search.report.provenance import evidence_of
from search.report.tables import constraint_units, quantity

_DETAILS = 1_500  # trials with details; of a larger study the rest is in trials.csv
_DETAIL_BYTES = 1_600_000
_TEXT = 600  # characters of a text in the page


def page_data(family: Family, importances: Iterable[Importance]) -> dict[str, Any]:
    """Plain data for the page's script; its size is bounded whatever the study's."""
    evidence = evidence_of(family)
    sites = _sites(family)
    chosen = _detailed(family)
    operators = _operators(family, sites)
    return {
        "objectives": [_objective(family, i, m, evidence) for i, m in enumerate(family.objectives)],
        "pairs": axis_pairs(family),
        "volumeUnit": family.volume_unit,
        "sites": [_site(s, name) for s, name in sites],
        "operators": {
            name: {"colour": colour, "ink": ink_on(colour), "short": short}
            for name, (colour, short) in operator_styles(operators).items()
        },
        "arms": [
            _arm(family, i, chosen[i], [s for s, _ in sites]) for i in range(len(family.arms))
        ],
        "importance": [
            {
                "objective": i.objective,
                "shares": list(i.shares.items())[:16],
                "chance": i.chance,
                "left": max(0, len(i.shares) - 16),
                "trials": i.trials,
                "best": i.best,
                "note": i.note,
            }
            for i in importances
        ],
    }


def script_json(data: Any) -> str:
    """``data`` as JSON that is safe inside a ``<script>`` element, whatever strings it holds."""
    text = json.dumps(plain(data), ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _objective(family: Family, index: int, metric: Metric, evidence: dict[str, str]) -> Any:
    limits = []
    for c in family.main.snapshot.constraints:
        if c.metric == metric.name:
            try:
                limits.append({"at": convert(c.bound, c.unit, metric.unit), "text": str(c)})
            except ValueError:
                continue  # a bound in another dimension has no place on this axis
    values = [values_of(t)[index] for arm in family.arms for t in arm.scored]
    return {
        "name": metric.name,
        "unit": metric.unit,
        "goal": metric.goal,
        "doc": metric.doc,
        "evidence": evidence.get(metric.name, "never taken"),
        "wide": is_wide(values),
        "whole": all(v == int(v) for v in values),
        "limits": limits,
    }


def _sites(family: Family) -> list[tuple[Site, bool]]:
    """(site, searched) in execution order; made from the plans where the network is unknown."""
    trials = [t for arm in family.arms for t in arm.snapshot.trials]
    sites = sites_of(family)
    if not sites:
        names = dict.fromkeys(name for t in trials for name in choices_of(t))
        return [(Site(name, "other", "", (), ()), True) for name in names]
    names_searched = searched(sites, trials)
    return [(s, s.name in names_searched) for s in sites]


def _operators(family: Family, sites: list[tuple[Site, bool]]) -> list[str]:
    used = dict.fromkeys(
        op for arm in family.arms for t in arm.snapshot.trials for op in choices_of(t).values()
    )
    parts = [part for name in used if "/" in name for part in name.split("/")]
    return sorted({*used, *parts}) + [s.operator for s, _ in sites]


def _site(site: Site, is_searched: bool) -> list[Any]:
    known = bool(site.input_shape)
    return [
        site.name,
        site.operator,
        site.elements if known else 0,
        "×".join(map(str, site.input_shape)),
        "×".join(map(str, site.output_shape)),
        int(is_searched),
    ]


def _detailed(family: Family) -> list[set[int]]:
    """Numbers of the trials shown with details, per arm: fronts and best first, then evenly."""
    rest = sum(len(arm.snapshot.trials) for arm in family.arms)
    step = max(1, -(-rest // _DETAILS))
    chosen = []
    for arm in family.arms:
        best = [arm.best(i) for i in range(len(family.objectives))]
        numbers = {t.number for t in best if t} | {t.number for t in arm.front[:_DETAILS]}
        chosen.append(numbers | {t.number for t in arm.snapshot.trials[::step]})
    return chosen


def _arm(family: Family, index: int, chosen: set[int], sites: list[Site]) -> dict[str, Any]:
    arm = family.arms[index]
    colour, symbol, _ = arm_style(index)
    front = {t.number for t in arm.front}
    position = {t.number: k + 1 for k, t in enumerate(arm.ended)}
    trials = arm.snapshot.trials
    scored = {t.number for t in arm.scored}
    return {
        "name": arm.name,
        "colour": colour,
        "symbol": symbol,
        "number": [t.number for t in trials],
        "status": [t.status for t in trials],
        "feasible": [int(t.feasible) for t in trials],
        "front": [int(t.number in front) for t in trials],
        "ended": [position.get(t.number) for t in trials],
        "seconds": [round(t.outcome.seconds, 3) if t.outcome else None for t in trials],
        "values": [
            [_short(values_of(t)[i]) if t.number in scored else None for t in trials]
            for i in range(len(family.objectives))
        ],
        "summary": [plan_summary(t)[:80] if t.number in chosen else "" for t in trials],
        "intervals": [_intervals(arm, i) for i in range(len(family.objectives))],
        "best": [best_so_far(arm, i) for i in range(len(family.objectives))],
        "history": [_short(v) for v in arm.history],
        "details": _details(arm, chosen, front, sites),
    }


def _intervals(arm: Arm, index: int) -> dict[str, tuple[float, float]]:
    found = {}
    for t in arm.front:
        q = quantity(t, arm.snapshot.objectives[index], values_of(t)[index])
        if q is not None and q.low is not None and q.high is not None:
            found[str(t.number)] = (q.low, q.high)
    return found


def _details(
    arm: Arm, chosen: set[int], front: set[int], sites: list[Site]
) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    spent = 0
    ordered = sorted(arm.snapshot.trials, key=lambda t: (t.number not in front, t.number))
    for trial in ordered:
        if trial.number not in chosen:
            continue
        detail = _detail(arm, trial, sites)
        spent += len(script_json(detail))
        if spent > _DETAIL_BYTES:
            break
        found[str(trial.number)] = detail
    return found


def _detail(arm: Arm, trial: Trial, sites: list[Site]) -> dict[str, Any]:
    outcome, origin = trial.outcome, trial.origin
    choices, kept = choices_of(trial), kept_of(trial)
    chain = chain_data(trial)
    units = constraint_units(arm.snapshot)
    param_units = {p.name: "" if p.unit == "1" else p.unit for p in arm.snapshot.params}
    told = origin.kind + (f" by {origin.by}" if origin.by else "")
    return {
        "plan": [_chosen(s, choices.get(s.name), kept.get(s.name)) for s in sites]
        if choices
        else [],
        "params": [
            [name, _cut(f"{format_value(value)} {param_units.get(name, '')}".rstrip())]
            for name, value in trial.point.items()
        ],
        "origin": _cut(told + (f": {origin.reason}" if origin.reason else "")),
        "seed": trial.seed,
        "measurements": [
            [m.metric, _short(m.value), m.unit, m.evidence, m.fidelity, m.split, m.low, m.high]
            for m in (outcome.measurements if outcome else ())
        ],
        "excess": [
            [name, _short(value), units.of(name)]
            for name, value in (outcome.excess.items() if outcome else ())
        ],
        "notes": [
            [str(name), _cut(_noted(value))]
            for name, value in (outcome.notes.items() if outcome else ())
            if value not in ([], (), {}, "") and (chain is None or name not in NOTES)
        ],
        "rungs": [[r.rung, round(r.seconds, 4)] for r in (outcome.rungs if outcome else ())],
        "error": _cut(first_line(outcome.error)) if outcome else "",
        "ckks": chain,
    }


def _noted(value: Any) -> str:
    """A note as text; sentences stand one after the other."""
    if isinstance(value, (list, tuple)) and all(isinstance(one, str) for one in value):
        return "; ".join(value)
    return value if isinstance(value, str) else compact_json(value)


def _chosen(site: Site, operator: str | None, kept: int | None) -> Any:
    """0 for a site without a choice, else [operator, changed, and what a mask keeps]."""
    if operator is None:
        return 0
    changed = int(bool(site.operator) and not is_original(operator, site))
    return [operator, changed] if kept is None else [operator, changed, kept]


def _short(value: float) -> float:
    return float(f"{value:.7g}")


def _cut(text: str) -> str:
    return text if len(text) <= _TEXT else text[: _TEXT - 1] + "…"
