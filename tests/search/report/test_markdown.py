"""The Markdown report."""

import re
from dataclasses import replace

import pytest

from search.report.family import family_of
from search.report.markdown import escape, render_markdown, render_table, summary
from search.report.table import Table


def test_the_report_has_every_part_and_well_formed_tables(family):
    text = render_markdown(family_of(family))
    for title in (
        "Front of main", "Front of random", "Arms side by side", "Best single trials",
        "What was modelled and what was measured", "Constraints", "Trials by status", "Failures",
        "Time per rung", "How to repeat it",
    ):  # fmt: skip
        assert f"\n## {title}\n" in text
    assert "- **latency_2pc \\[ms\\]**: lower is better, model. 2PC latency" in text
    assert "Searcher: nsga2, auto: two objectives" in text
    for block in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        widths = {len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}
        assert len(widths) == 1


def test_the_summary_names_the_gain_over_each_baseline(family):
    made = family_of(family)
    ratio = made.main.history[49] / made.arms[1].history[49]
    assert summary(made).startswith("60 trials ended, 52 of them scored and ")
    assert f"the hypervolume of main is {ratio:.2f} times that of random." in summary(made)


def test_one_trial_is_told_as_one(make):
    one = family_of([make.study(trials=1)])
    told = "1 trial ended, 1 of them scored and 1 of these feasible; 1 trial makes the front."
    assert summary(one).startswith(told)


def test_the_summary_is_honest_about_nothing(make):
    assert summary(family_of([make.failed(3)])) == "3 trials ended and none of them was scored."
    study = make.study(trials=5)
    broken = tuple(
        replace(t, outcome=replace(t.outcome, excess={"rule": 1.0})) for t in study.trials
    )
    text = summary(family_of([replace(study, trials=broken)]))
    assert text == "5 of 5 trials were scored, none is feasible."


def test_no_string_becomes_markup(make):
    text = render_markdown(family_of([make.hostile()]))
    assert "<script" not in text
    assert "<img" not in text
    assert not re.search(r"(?<!\\)\]\(javascript", text)
    assert not re.search(r"(?<!\\)`", text)


@pytest.mark.parametrize(
    ("raw", "safe"),
    [("a|b", r"a\|b"), ("<b>&", "&lt;b&gt;&amp;"), ("a\n b", "a b"), ("*x* [y]", r"\*x\* \[y\]")],
)
def test_escape(raw, safe):
    assert escape(raw) == safe


def test_an_empty_table_is_a_sentence():
    assert render_table(Table("t", "Title", ("a",), (), empty="None.")) == "## Title\n\nNone."


def test_every_kind_of_study_can_be_written(make):
    for study in (make.study(trials=0), make.one(), make.three(), make.failed()):
        assert render_markdown(family_of([study])).startswith("# Search report: polympcnet")
    empty = replace(make.study(trials=3), objectives=(), sites=())
    assert "none of them was scored" in render_markdown(family_of([empty]))
