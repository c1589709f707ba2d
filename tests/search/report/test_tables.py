"""What the tables of a report say."""

from dataclasses import replace

import pytest

from search.api.trial import Outcome
from search.report.family import family_of, values_of
from search.report.table import Quantity
from search.report.tables import (
    baselines_table,
    best_table,
    constraint_units,
    constraints_table,
    counts_table,
    failures_table,
    front_table,
    quantity,
    timing_table,
)


def column(table, title):
    return [row[table.columns.index(title)] for row in table.rows]


def test_the_front_shows_objectives_metrics_test_split_plan_and_parameters(family):
    arm = family_of(family).main
    table = front_table(arm)
    assert table.columns == (
        "trial", "accuracy [%]", "latency_2pc [ms]", "bytes_2pc [MB]", "rounds_2pc [1]",
        "accuracy, test split [%]", "operators", "parameters",
    )  # fmt: skip
    assert column(table, "trial") == [t.number for t in arm.front]
    shown = column(table, "accuracy [%]")
    assert [q.value for q in shown] == [values_of(t)[0] for t in arm.front]
    assert {q.evidence for q in shown} == {"measured"}
    assert {q.evidence for q in column(table, "latency_2pc [ms]")} == {"model"}
    assert [q.value for q in column(table, "accuracy, test split [%]") if q] == [90.4]
    assert "took no part" in table.note
    assert all("x2act" in text or "relu" in text for text in column(table, "operators"))


def test_a_very_long_front_is_cut_and_says_so(make):
    study = make.study(trials=300)
    line = tuple(
        replace(t, status="complete", values=(50 + i / 10, 1 + i / 100),
                outcome=Outcome(t.number, "complete"))
        for i, t in enumerate(study.trials)
    )  # fmt: skip
    table = front_table(family_of([replace(study, trials=line)]).main)
    assert len(table.rows) == 200
    assert "100 further trials of the front are in trials.csv" in table.note


def test_a_value_that_differs_from_its_measurement_keeps_no_interval(make):
    study = make.study(trials=1)
    trial = study.trials[0]
    measured = trial.measurement("accuracy")
    assert quantity(trial, study.objectives[0], measured.value).low == measured.low
    assert quantity(trial, study.objectives[0], 1.0) == Quantity(1.0, evidence="measured")
    assert quantity(replace(trial, outcome=None), study.objectives[0]) is None


def test_best_single_trials_of_each_arm(family):
    table = best_table(family_of(family))
    assert column(table, "objective") == ["highest accuracy"] * 2 + ["lowest latency_2pc"] * 2
    assert column(table, "arm") == ["main", "random"] * 2


def test_baselines_are_compared_at_equal_numbers_of_trials(family):
    made = family_of(family)
    table = baselines_table(made)
    at, whole = "hypervolume at 50 trials [% × ms]", "hypervolume [% × ms]"
    assert column(table, "trials ended") == [60, 50]
    assert column(table, at) == [made.main.history[49], made.arms[1].history[49]]
    assert column(table, whole) == [made.main.history[59], made.arms[1].history[49]]
    ratio = 100 * made.arms[1].history[49] / made.main.history[49]
    assert column(table, "relative to main [%]") == pytest.approx([100, ratio])
    assert table.note.startswith("Reference point: accuracy = ")


def test_counts_add_up(family):
    table = counts_table(family_of(family))
    for row in table.rows:
        assert sum(row[2:8]) == row[1]
    assert table.rows[0][1] == 60
    assert column(table, "failed") == [3, 3]


def test_constraints_say_how_often_and_by_how_much(family):
    table = constraints_table(family_of(family))
    name = "latency_2pc <= 9.5 ms"
    assert column(table, "constraint or rule") == [name, name]
    told = [t.outcome.excess[name] for t in family[0].trials if name in t.outcome.excess]
    assert table.rows[0][2:] == (len(told), sum(e > 0 for e in told), max(told), "ms")


def test_rules_of_a_space_appear_without_a_unit(make):
    study = make.study(trials=1)
    broken = Outcome(0, "infeasible", excess={"relu_budget": 3.0})
    trial = replace(study.trials[0], status="infeasible", values=None, outcome=broken)
    table = constraints_table(family_of([replace(study, trials=(trial,))]))
    assert ("main", "relu_budget", 1, 1, 3.0, None) in table.rows
    assert constraint_units(study).of("latency_2pc") == "ms"
    assert constraint_units(study).of("energy_2pc <= 3 mJ") == "mJ"  # a gate
    assert constraint_units(study).of("relu_budget") == ""


def test_a_study_without_constraints_says_so(make):
    study = make.study(trials=0, constraints=())
    table = constraints_table(family_of([study]))
    assert not table.rows
    assert "no constraints" in table.empty


def test_failures_are_grouped_by_their_first_line(make):
    table = failures_table(family_of([make.failed(12)]))
    shown = "0, 1, 2, 3, 4, 5, 6, 7, …"
    assert table.rows == (("main", "failed", "EvaluationError: no data", 12, shown),)


def test_time_per_rung_adds_up(family):
    table = timing_table(family_of(family))
    spent = [r.seconds for t in family[0].trials for r in t.outcome.rungs if r.rung == "finetune"]
    assert column(table, "rung")[:2] == ["static", "finetune"]
    assert table.rows[1][2] == len(spent)
    assert table.rows[1][5] == pytest.approx(sum(spent))
    assert "Wall clock of all sessions: main 8 min" in table.note
