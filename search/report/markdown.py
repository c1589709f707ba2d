"""The report as Markdown."""

from __future__ import annotations

import re

from search.plural import plural
from search.report.encrypted import encrypted_tables
from search.report.family import Family
from search.report.layers import layers_tables
from search.report.members import members_tables
from search.report.numbers import label
from search.report.provenance import evidence_of, evidence_table, provenance_table
from search.report.table import Table
from search.report.tables import (
    baselines_table,
    best_table,
    constraints_table,
    counts_table,
    failures_table,
    front_table,
    timing_table,
)

_SPECIAL = re.compile(r"([\\`*\[\]|~])")


def render_markdown(family: Family, picture: str = "", members: str = "", layers: str = "") -> str:
    """The whole report; strings from people and plugins cannot become markup.

    Args:
        family: what to report.
        picture: file name of a picture of the front beside the report, if there is one.
        members: the same of a picture of members.
        layers: the same of a picture of what pruned layers keep.
    """
    study = family.main.snapshot
    evidence = evidence_of(family)
    parts = [f"# Search report: {escape(family.name)}", ""]
    parts += [f"{escape(summary(family))}", ""]
    for metric in family.objectives:
        way = "lower is better" if metric.goal == "min" else "higher is better"
        kind = evidence.get(metric.name, "never taken")
        text = f"{way}, {kind}. {metric.doc}"
        parts.append(f"- **{escape(label(metric))}**: {escape(text)}")
    parts += ["", f"![Front]({picture})", ""] if picture else [""]
    parts += [f"![Members]({members})", ""] if members else []
    parts += [f"![Layers]({layers})", ""] if layers else []
    tables = [front_table(family.main), *members_tables(family), *layers_tables(family)]
    tables += encrypted_tables(family)
    tables += [baselines_table(family), best_table(family)]
    tables += [front_table(arm) for arm in family.arms[1:]]
    tables += [evidence_table(family), constraints_table(family), counts_table(family)]
    tables += [failures_table(family), timing_table(family), provenance_table(family)]
    for table in tables:
        parts += [render_table(table), ""]
    if study.searcher_reason:
        parts += [f"Searcher: {escape(study.searcher)}, {escape(study.searcher_reason)}.", ""]
    return "\n".join(parts)


def summary(family: Family) -> str:
    """Two or three sentences with the outcome of the study."""
    main = family.main
    if not main.scored:
        return f"{plural(len(main.ended), 'trial')} ended and none of them was scored."
    if not main.front:
        ended = plural(len(main.ended), "trial")
        return f"{len(main.scored)} of {ended} were scored, none is feasible."
    size = f"{plural(len(main.front), 'trial')} make{'s' if len(main.front) == 1 else ''}"
    text = (
        f"{plural(len(main.ended), 'trial')} ended, {len(main.scored)} of them scored and "
        f"{len(main.feasible)} of these feasible; {size} the front."
    )
    common = family.common_trials
    ours = family.volume_at(main, common)
    for arm in family.arms[1:]:
        theirs = family.volume_at(arm, common)
        if ours is not None and theirs:
            text += (
                f" After {plural(common, 'trial')} each, the hypervolume of {main.name} is "
                f"{ours / theirs:.2f} times that of {arm.name}."
            )
    return text


def render_table(table: Table) -> str:
    """One table with heading and note; empty ones say so in a sentence."""
    heading = f"## {escape(table.title)}"
    if not table.rows:
        return f"{heading}\n\n{escape(table.empty)}"
    marks = ["---:" if table.is_numeric(i) else "---" for i in range(len(table.columns))]
    lines = [_row([escape(c) for c in table.headings()]), _row(marks)]
    lines += [_row([escape(text) for text in table.texts(row)]) for row in table.rows]
    note = f"\n\n{escape(table.note)}" if table.note else ""
    return f"{heading}\n\n" + "\n".join(lines) + note


def escape(text: str) -> str:
    """``text`` on one line, with nothing that Markdown or HTML would read as markup."""
    one_line = " ".join(text.split())
    safe = one_line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _SPECIAL.sub(r"\\\1", safe)


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"
