"""The report as one HTML page that needs neither network nor server.

Every string from a study passes ``html.escape`` or :func:`search.report.page_data.script_json`;
the page's script builds its elements from text, never from markup, and a content security policy
forbids the page to load anything.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from html import escape
from importlib.resources import files

from search.api.metric import EVIDENCE
from search.plural import plural
from search.report.encrypted import encrypted_tables
from search.report.family import Family, values_of
from search.report.importance import Importance, importance_of
from search.report.layers import has_layers, layers_tables, render_layers
from search.report.markdown import summary
from search.report.members import has_members, members_tables, render_members
from search.report.numbers import format_number, format_seconds, plain
from search.report.page_data import page_data, script_json
from search.report.provenance import evidence_of, evidence_table, provenance_table
from search.report.table import Cell, Quantity, Table
from search.report.tables import (
    baselines_table,
    best_table,
    constraints_table,
    counts_table,
    failures_table,
    front_table,
    timing_table,
)

_SLOT = re.compile(r"\{\{(\w+)\}\}")
_SCRIPTS = (
    "report.js",
    "report_front.js",
    "report_progress.js",
    "report_chain.js",
    "report_trial.js",
    "report_tables.js",
    "report_start.js",
)
_LONG = ("parameters", "operators", "meaning", "message (first line)",
         "primes [bit], in the order of use")  # fmt: skip


def render_html(family: Family) -> str:
    """The page; about 5 MB, nearly all of it the plotting library."""
    from plotly.offline import get_plotlyjs

    importances = importance_of(family.main)
    slots = {
        "title": escape(f"{family.name}: search report"),
        "study": escape(family.name),
        "summary": escape(summary(family)),
        "cards": _cards(family),
        "front_intro": escape(_front_intro(family)),
        "front_tables": _table(front_table(family.main)) + _members(family) + _layers(family),
        "encrypted_link": _encrypted_link(family),
        "encrypted_section": _encrypted(family),
        "arms_tables": "".join(
            [_table(baselines_table(family)), _table(best_table(family))]
            + [_table(front_table(arm)) for arm in family.arms[1:]]
        ),
        "importance_intro": escape(_importance_intro(family, importances)),
        "evidence_tables": _table(evidence_table(family)),
        "health_tables": "".join(
            _table(make(family))
            for make in (constraints_table, counts_table, failures_table, timing_table)
        ),
        "repeat_tables": _table(provenance_table(family)),
        "spec": escape(_spec(family)),
        "data": script_json(page_data(family, importances)),
        "css": _part("report.css"),
        "js": _script(),
        "plotly": get_plotlyjs(),
    }
    return fill(_part("template.html"), slots)


def fill(template: str, slots: Mapping[str, str]) -> str:
    """``template`` with every ``{{name}}`` replaced once; what is put in is not read again.

    Raises:
        KeyError: the template has a slot that ``slots`` lacks.
    """
    return _SLOT.sub(lambda match: slots[match[1]], template)


def _part(name: str) -> str:
    return (files("search.report") / name).read_text(encoding="utf-8")


def _script() -> str:
    parts = "\n".join(_part(name) for name in _SCRIPTS)
    return f'(() => {{\n"use strict";\n{parts}}})();'


def _spec(family: Family) -> str:
    import yaml

    specs = {arm.name: plain(arm.snapshot.spec) for arm in family.arms}
    shown = specs[family.main.name] if len(specs) == 1 else specs
    return yaml.safe_dump(shown, sort_keys=False, allow_unicode=True, width=100)


def _cards(family: Family) -> str:
    main = family.main
    evidence = evidence_of(family)
    size = len(main.front)
    cards = [
        ("Trials ended", str(len(main.ended)), "",
         f"{len(main.scored)} scored, {len(main.feasible)} feasible"),
        ("Front", str(size), "trial" if size == 1 else "trials", f"arm {main.name}"),
    ]  # fmt: skip
    for index, metric in enumerate(family.objectives):
        trial = main.best(index)
        if trial is not None:
            way = "Lowest" if metric.goal == "min" else "Highest"
            told = f"trial {trial.number}, {evidence.get(metric.name, 'never taken')}"
            value = format_number(values_of(trial)[index])
            unit = "" if metric.unit == "1" else metric.unit  # a plain number has none
            cards.append((f"{way} {metric.name}", value, unit, told))
    common = family.common_trials
    ours = family.volume_at(main, common)
    for arm in family.arms[1:2]:
        theirs = family.volume_at(arm, common)
        if ours is not None and theirs:
            told = f"times {arm.name}, both after {plural(common, 'trial')}"
            cards.append(("Hypervolume", f"{ours / theirs:.2f}", "×", told))
    searcher = f"searcher {main.snapshot.searcher}" if main.snapshot.searcher else ""
    cards.append(("Wall clock", format_seconds(main.snapshot.seconds), "", searcher))
    return "".join(
        f"<div><dt>{escape(title)}</dt><dd>{escape(value)} <small>{escape(unit)}</small></dd>"
        f'<dd class="sub">{escape(sub)}</dd></div>'
        for title, value, unit, sub in cards
    )


def _front_intro(family: Family) -> str:
    if not family.objectives:
        return "The study has no objectives."
    if family.reference is None:
        return ""
    if len(family.objectives) == 1:
        return (
            "There is one objective, so the front is the best trial. Click a point to inspect it."
        )
    return (
        "Filled points with a line make the front, pale ones are dominated, crosses break a "
        "constraint. Click a point to inspect its network."
    )


def _members(family: Family) -> str:
    """Picture and tables of members; nothing for studies of single networks."""
    if not has_members(family):
        return ""
    picture = _picture("Members: accuracy against budget", render_members(family, "svg"))
    return picture + "".join(_table(table) for table in members_tables(family))


def _layers(family: Family) -> str:
    """Picture and table of what layers keep; nothing for networks that are not pruned."""
    if not has_layers(family):
        return ""
    picture = _picture("Pruned networks on the fronts", render_layers(family, "svg"))
    return picture + "".join(_table(table) for table in layers_tables(family))


def _picture(title: str, svg: bytes) -> str:
    code = base64.b64encode(svg).decode()
    image = f'<img alt="{title}" style="max-width:100%" src="data:image/svg+xml;base64,{code}">'
    return f'<div class="card"><h3>{title}</h3>{image}</div>'


def _encrypted_link(family: Family) -> str:
    return '<a href="#encrypted">Encrypted inference</a>' if encrypted_tables(family) else ""


def _encrypted(family: Family) -> str:
    """A section of its own; nothing for studies of anything else."""
    tables = "".join(_table(table) for table in encrypted_tables(family))
    if not tables:
        return ""
    head = (
        '<div class="head"><h2>Encrypted inference</h2><p>The chain of the selected trial is drawn '
        "above; select any other by a click.</p></div>"
    )
    return f'<section id="encrypted">{head}{tables}</section>'


def _importance_intro(family: Family, importances: list[Importance]) -> str:
    if not any(i.shares for i in importances):
        return f"Arm {family.main.name}."
    return (
        f"PED-ANOVA on the scored trials of arm {family.main.name}: how far each parameter alone "
        "sets the best trials apart. Grey bars do not exceed what shuffled values reach "
        "(5 % level) and may be chance. Importance is a statistic of these trials, not a law."
    )


def _table(table: Table) -> str:
    title = f"<h3>{escape(table.title)}</h3>"
    if not table.rows:
        return f'<div class="card table">{title}<p class="empty">{escape(table.empty)}</p></div>'
    kinds = [table.evidence(i) for i in range(len(table.columns))]
    numeric = [table.is_numeric(i) for i in range(len(table.columns))]
    heads = "".join(
        f'<th scope="col" data-sortable{" class=number" if right else ""}>{escape(name)}'
        f"{_badge(kind)}</th>"
        for name, kind, right in zip(table.columns, kinds, numeric, strict=True)
    )
    pick = ' data-arm="{}"'.format(escape(table.name.removeprefix("front-"))) if (
        table.name.startswith("front-")) else ""  # fmt: skip
    rows = "".join(
        "<tr>"
        + "".join(
            _cell(table, cell, i, style="number" if numeric[i] else "")
            for i, cell in enumerate(row)
        )
        + "</tr>"
        for row in table.rows
    )
    note = f'<p class="note">{escape(table.note)}</p>' if table.note else ""
    return (
        f'<div class="card table">{title}<div class="scroll"><table{pick}><thead><tr>{heads}</tr>'
        f"</thead><tbody>{rows}</tbody></table></div>{note}</div>"
    )


def _cell(table: Table, cell: Cell, index: int, *, style: str) -> str:
    column = table.columns[index]
    style = style or ("long" if column in _LONG else "")
    kind = f' class="{style}"' if style else ""
    if isinstance(cell, Quantity):
        whole = table.is_whole(index)
        interval = cell.interval(whole)
        text = format_number(cell.value, whole)
        text += f'<span class="range">{interval}</span>' if interval else ""
        badge = "" if table.evidence(index) else _badge(cell.evidence)
        return f'<td{kind} data-v="{cell.value!r}">{text}{badge}</td>'
    if isinstance(cell, (int, float)):
        return f'<td{kind} data-v="{float(cell)!r}">{table.number(cell, index)}</td>'
    if column in ("evidence", "status") and cell:
        return f"<td{kind}>{_badge(cell)}</td>"
    return f"<td{kind}>{escape(cell or '–')}</td>"


def _badge(word: str) -> str:
    if not word:
        return ""
    known = word if word in (*EVIDENCE, "failed", "crashed") else ""
    return f' <span class="badge {known}">{escape(word)}</span>'
