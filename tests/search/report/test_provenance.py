"""What was modelled, what was measured, and how to repeat it."""

from dataclasses import replace

from search.api.metric import Measurement
from search.api.trial import RungResult
from search.report.family import family_of
from search.report.provenance import (
    evidence_of,
    evidence_table,
    metrics_of,
    provenance_table,
    study_seed,
)


def test_every_metric_is_listed_with_evidence_split_and_source(family):
    table = evidence_table(family_of(family))
    rows = {(row[0], row[4], row[5]): row for row in table.rows}
    assert rows["accuracy", "measured", "validation"][2:4] == ("objective", "higher")
    assert rows["accuracy", "measured", "test"][6] == 1
    assert rows["latency_2pc", "model", None][9] == "PolyMPCNet, eq. 9"
    assert rows["rounds_2pc", "model", None][9] is None
    assert "nothing was run" in table.note
    assert "simulat" not in table.note


def test_a_metric_on_the_test_split_does_not_say_validation(make):
    study = make.study()
    words = replace(study.metrics["accuracy"], doc="right answers on the validation split")
    known = {**study.metrics, "accuracy": words}
    table = evidence_table(
        family_of([replace(study, metrics=known, objectives=(words, make.LATENCY))])
    )
    told = {row[5]: row[8] for row in table.rows if row[0] == "accuracy"}
    assert told["validation"] == "right answers on the validation split"
    assert told["test"] == "right answers on the test split"


def test_mixed_evidence_is_never_hidden(make):
    study = make.study(trials=2)
    real = Measurement("latency_2pc", 5.0, "ms", "board", "measured")
    outcome = study.trials[0].outcome
    both = replace(outcome, rungs=(*outcome.rungs, RungResult("board", 1.0, (real,))))
    trials = (replace(study.trials[0], outcome=both), study.trials[1])
    family = family_of([replace(study, trials=trials)])
    assert evidence_of(family)["latency_2pc"] == "model, measured"
    kinds = [row[4] for row in evidence_table(family).rows if row[0] == "latency_2pc"]
    assert sorted(kinds) == ["measured", "model"]


def test_a_metric_that_was_never_taken_says_so(make):
    rows = evidence_table(family_of([make.failed()])).rows
    assert {row[4] for row in rows} == {"never taken"}


def test_a_metric_that_no_evaluator_declared_is_still_listed(make):
    study = replace(make.study(trials=1), metrics={})
    names = list(metrics_of(family_of([study])))
    assert names == ["accuracy", "latency_2pc", "bytes_2pc", "rounds_2pc"]


def test_versions_seed_digest_teacher_and_reason_are_told_per_arm(family):
    table = provenance_table(family_of(family))
    facts = {row[0]: row[1:] for row in table.rows}
    assert table.columns == ("fact", "main", "random")
    assert facts["why this searcher"] == ("auto: two objectives and a vector parameter", None)
    assert facts["seed of the study"] == ("0", "0")
    assert facts["digest of the specification"] == ("0123456789abcdef",) * 2
    assert facts["original network: accuracy"] == ("91.2", None)
    assert facts["version: torch"] == ("2.13.0", "2.13.0")


def test_the_seed_is_found_in_either_place(make):
    assert study_seed(make.study(trials=0, seed=5)) == 5
    assert study_seed(make.study(trials=0, spec={"seed": 7})) == 7
    assert study_seed(make.study(trials=0, spec={})) is None
