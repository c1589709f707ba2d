"""Tables about encrypted inference, and their place in every form of the report."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import replace
from pathlib import Path

import pytest

from search.api.metric import Measurement, Metric
from search.api.snapshot import Snapshot
from search.api.trial import RungResult
from search.report.chain import chain_of
from search.report.encrypted import (
    chain_text,
    chains_table,
    encrypted_tables,
    error_of,
    errors_table,
    has_chains,
    layers_table,
    sizes_table,
    told_trials,
    warnings_table,
)
from search.report.family import family_of
from search.report.html import render_html
from search.report.json_file import render_json
from search.report.markdown import render_markdown
from search.report.page_data import page_data

_SPEC = importlib.util.spec_from_file_location("made", Path(__file__).with_name("test_chain.py"))
made = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(made)

METRICS = {
    m.name: m
    for m in (
        Metric("latency_ckks", "ms", "min", ""),
        Metric("precision_ckks", "bit", "max", ""),
        Metric("worst_precision_ckks", "bit", "max", ""),
        Metric("predicted_precision", "bit", "max", ""),
        Metric("approximation_error", "1", "min", ""),
        Metric("security_slack", "bit", "max", ""),
        Metric("key_mb", "MB", "min", ""),
        Metric("memory_ckks", "MB", "min", ""),
    )
}


def a_trial(number, latency, precision, run=True, approximation=2.0**-4):
    kinds = {
        "approximation_error": (approximation, "simulated"),
        "security_slack": (52.0, "bound"),
        "predicted_precision": (precision - 1, "model"),
        "key_mb": (28.0, "model"),
    }
    if run:
        kinds |= {
            "latency_ckks": (latency, "measured"),
            "precision_ckks": (precision, "measured"),
            "worst_precision_ckks": (precision - 3, "measured"),
            "memory_ckks": (400.0, "measured"),
        }
    found = tuple(Measurement(n, v, METRICS[n].unit, "top", e) for n, (v, e) in kinds.items())
    notes = {"ckks_predicted": {"stages": made.STAGES}}
    if run:
        notes["ckks_stages"] = made.MEASURED
    return made.a_trial(
        number=number, measurements=(RungResult("top", 1.0, found),),
        values=(latency, precision), **notes,
    )  # fmt: skip


def study(arm="main", trials=None, **options):
    if trials is None:
        trials = (a_trial(3, 40.0, 10.0, **options), a_trial(5, 60.0, 20.0, **options))
    objectives = (METRICS["latency_ckks"], METRICS["precision_ckks"])
    return Snapshot("enc", arm, Path("runs"), "0" * 16, {}, objectives, (), (), METRICS,
                    tuple(trials))  # fmt: skip


def plain(table):
    return [tuple(getattr(cell, "value", cell) for cell in row) for row in table.rows]


def test_a_chain_reads_from_first_use_to_last():
    text = chain_text(chain_of(made.whole()))
    assert text == "P 50 | 26 fc1 | 25 act1 | 24 fc2 | q0 37"
    alike = {**made.PAYLOAD, "chain": {"first": 37, "levels": [26, 26, 26], "special": [50]}}
    rows = [{**made.STAGES[1], "limbs_in": 4, "limbs_out": 1}]
    trial = made.a_trial(payload=alike, ckks_predicted={"stages": rows})
    assert chain_text(chain_of(trial)) == "P 50 | 3 × 26 fc1 | q0 37"


def test_every_trial_of_the_front_has_its_chain():
    rows = plain(chains_table(family_of([study()]).main))
    assert [row[0] for row in rows] == [5, 3]
    assert rows[1][1:7] == ("2^13", 26, 162, 52.0, "dense", "columns")


def test_layers_show_primes_time_and_error_with_their_evidence():
    table = layers_table(family_of([study()]))
    rows = [row for row in plain(table) if row[0] == 3]
    limbs = "4\u00a0to\u00a03"
    first = (3, "fc1", "linear", "server", limbs, "26", 26.0, 20.0, 21.0, 40.0, 52.5, 50.0)
    assert rows[1] == first
    kinds = dict(zip(table.columns, (table.evidence(i) for i in range(12)), strict=True))
    assert kinds["predicted CPU time [ms]"] == "model"
    assert kinds["share of the time [%]"] == "measured"
    assert kinds["share of the encryption error [%]"] == "model"


def test_time_is_shared_out_by_the_model_where_nothing_ran():
    table = layers_table(family_of([study(run=False)]))
    column = table.columns.index("share of the time [%]")
    assert table.evidence(column) == "model"
    assert sum(row[column] for row in plain(table) if row[0] == 3) == pytest.approx(100)


def test_a_few_trials_tell_for_the_front():
    front = [a_trial(n, 10.0 * n, 5.0 + n) for n in range(1, 10)]
    assert [t.number for t in told_trials(family_of([study(trials=front)]))] == [1, 9, 5]


def test_errors_of_polynomials_and_of_encryption_have_one_unit():
    (second, first) = plain(errors_table(family_of([study()]).main))
    assert first == (3, 2.0**-4, 2.0**-9, 2.0**-10, 10.0, 2.0**-7, "approximation, 64 times")
    assert second[-1] == "approximation, by far"
    (_, none) = plain(errors_table(family_of([study(approximation=0.0)]).main))
    assert none[-1] == "encryption, by far"


def test_an_error_keeps_the_evidence_of_its_precision():
    trial = a_trial(1, 1.0, 12.0)
    assert error_of(trial, "predicted_precision").evidence == "model"
    assert error_of(trial, "precision_ckks").evidence == "measured"
    assert error_of(trial, "nothing") is None


def test_sizes_name_only_what_was_taken():
    table = sizes_table(family_of([study()]).main)
    assert table.columns == ("trial", "keys [MB]", "resident memory of the run [MB]")
    assert plain(table)[1] == (3, 28.0, 400.0)
    assert sizes_table(family_of([study(run=False)]).main).columns == ("trial", "keys [MB]")


def test_warnings_of_the_front_are_told():
    assert warnings_table(family_of([study()]).main).rows == ()
    trial = a_trial(3, 40.0, 10.0)
    notes = {**trial.outcome.notes, "ckks_warnings": ["results wrap around", "sparse secret"]}
    warned = replace(trial, outcome=replace(trial.outcome, notes=notes))
    family = family_of([study(trials=[warned])])
    assert warnings_table(family.main).rows == ((3, "results wrap around"), (3, "sparse secret"))
    assert "## Warnings" in render_markdown(family)
    detail = page_data(family, [])["arms"][0]["details"]["3"]
    assert ["ckks_warnings", "results wrap around; sparse secret"] in detail["notes"]


def test_other_studies_have_no_such_section():
    other = made.a_trial(payload={"choices": []}, values=(1.0, 2.0))
    family = family_of([study(trials=[other])])
    assert not has_chains(family)
    assert encrypted_tables(family) == []
    assert 'id="encrypted"' not in render_html(family)


def test_every_form_of_the_report_has_it():
    family = family_of([study(), study("random")])
    text = render_markdown(family)
    assert "## Level by level: where time and bits go" in text
    assert "## Modulus chains on the front of random" in text
    page = render_html(family)
    assert '<section id="encrypted">' in page
    assert "26 fc1 | 25 act1" in page
    trial = json.loads(render_json(family))["arms"][0]["trials"][0]
    assert trial["ckks"]["primes"][1] == {
        "bits": 26,
        "role": "level",
        "layer": "fc1",
        "scale": 26.0,
    }
    assert trial["ckks"]["layers"][1]["limbs"] == [4, 3]


def test_the_page_draws_the_chain_instead_of_printing_the_notes():
    detail = page_data(family_of([study()]), [])["arms"][0]["details"]["3"]
    assert detail["ckks"]["log_n"] == 13
    assert not detail["notes"]
