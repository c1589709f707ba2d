"""The CSV of all trials."""

import csv
import io
import json
from dataclasses import replace

from search.api.domain import Param, Real
from search.report.csv_file import render_csv
from search.report.family import family_of


def rows_of(snapshots):
    return list(csv.DictReader(io.StringIO(render_csv(family_of(snapshots)))))


def test_one_row_per_trial_and_arm_at_full_precision(family):
    rows = rows_of(family)
    assert len(rows) == 110
    by_key = {(row["arm"], int(row["trial"])): row for row in rows}
    for snapshot in family:
        for trial in snapshot.trials:
            row = by_key[snapshot.arm, trial.number]
            assert row["status"] == trial.status
            assert row["feasible"] == str(trial.feasible).lower()
            if trial.values:
                assert float(row["objective accuracy [%]"]) == trial.values[0]
                assert float(row["latency_2pc [ms]"]) == trial.values[1]
                assert row["latency_2pc evidence"] == "model"
            assert tuple(json.loads(row["param activation"])) == trial.point["activation"]
            assert float(row["param learning_rate"]) == trial.point["learning_rate"]
            assert int(row["seed"]) == trial.seed


def test_gated_trials_have_metrics_but_no_objective_values(family):
    gated = next(row for row in rows_of(family) if row["status"] == "gated")
    assert gated["objective accuracy [%]"] == gated["accuracy [%]"] == ""
    assert float(gated["bytes_2pc [MB]"]) > 0


def test_the_front_origin_excess_errors_and_the_test_split_are_told(family):
    rows = rows_of(family)
    main = family_of(family).main
    told = {int(r["trial"]) for r in rows if r["arm"] == "main" and r["on front"] == "true"}
    assert told == {t.number for t in main.front}
    assert rows[0]["origin"] == "user"
    assert rows[0]["origin by"] == "ada"
    assert rows[0]["origin reason"] == "all ReLU first"
    assert float(rows[0]["excess latency_2pc <= 9.5 ms [ms]"]) < 0
    failed = next(row for row in rows if row["status"] == "failed")
    assert failed["error"] == "Loss is not finite at epoch 2 (got nan)"
    assert [r["accuracy test split [%]"] for r in rows if r["accuracy test split [%]"]] == ["90.4"]


def test_units_of_parameters_stand_in_the_heading(make):
    study = make.study(trials=1, params=(Param("learning_rate", Real(0, 1), unit="1/step"),))
    assert "param learning_rate [1/step]" in rows_of([study])[0]


def test_no_text_starts_a_formula_and_lines_stay_whole(make):
    rows = rows_of([make.hostile()])
    assert len(rows) == 6
    for row in rows:
        assert None not in row
        for name, value in row.items():
            assert not name.startswith(("=", "@"))
            if value and value[0] in "=+-@":
                float(value)  # only numbers may start like this
    assert any(value.startswith("'=</script>") for value in rows[0].values())


def test_running_trials_have_empty_cells(make):
    study = make.study(trials=1)
    running = replace(study.trials[0], status="running", outcome=None, values=None)
    (row,) = rows_of([replace(study, trials=(running,))])
    assert row["status"] == "running"
    assert row["seconds"] == ""


def test_no_trials_leave_the_header(make):
    text = render_csv(family_of([make.study(trials=0)]))
    assert text.startswith("arm,trial,status,feasible,on front,objective accuracy [%],")
    assert text.count("\n") == 1
