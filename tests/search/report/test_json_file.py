"""The JSON report and its documented keys."""

import json
import re
from dataclasses import replace

from search.report import json_file
from search.report.family import family_of
from search.report.json_file import document, render_json


def keys_of(value):
    if isinstance(value, dict):
        return set(value) | {k for v in value.values() for k in keys_of(v)}
    return {k for v in value for k in keys_of(v)} if isinstance(value, list) else set()


def test_it_reads_back_with_every_number(family):
    data = json.loads(render_json(family_of(family)))
    main = data["arms"][0]
    assert (data["schema"], data["study"], data["main"]) == (1, "polympcnet", "main")
    assert [len(arm["trials"]) for arm in data["arms"]] == [60, 50]
    for record, trial in zip(main["trials"], family[0].trials, strict=True):
        assert record["number"] == trial.number
        assert record["seed"] == trial.seed
        expected = dict(zip(("accuracy", "latency_2pc"), trial.values or (), strict=False))
        assert record["values"] == (expected or None)
        assert record["point"]["activation"] == list(trial.point["activation"])
        assert record["excess"] == dict(trial.outcome.excess)
    complete = main["trials"][0]
    accuracy = complete["measurements"][-1]
    assert accuracy["rung"] == "finetune"
    assert accuracy["evidence"] == "measured"
    assert accuracy["low"] < accuracy["value"] < accuracy["high"]
    assert complete["candidate"]["payload"]["choices"][0]["site"] == "stem.act"
    assert data["sites"][1]["elements"] == 16 * 14 * 14


def test_fronts_volumes_and_the_reference_are_consistent(family):
    made = family_of(family)
    data = document(made)
    main = data["arms"][0]
    assert main["front"] == [t.number for t in made.main.front]
    assert {t["number"] for t in main["trials"] if t["on_front"]} == set(main["front"])
    assert main["hypervolume"] == main["hypervolume_history"][-1]
    assert main["hypervolume_at_common_trials"] == main["hypervolume_history"][49]
    assert data["reference"]["values"]["latency_2pc"] == made.reference[1]
    assert data["common_trials"] == 50
    assert data["objectives"][1]["evidence"] == ["model"]


def test_every_key_of_the_document_is_documented(family):
    data = json.loads(render_json(family_of(family)))
    for arm in data["arms"]:
        for free in ("spec", "versions", "teacher"):
            arm[free] = {}
        for record in arm["trials"]:
            for free in ("point", "values", "notes", "candidate", "excess", "artefacts", "origin"):
                record[free] = None
        arm["counts"] = arm["best"] = {}
    data["reference"]["values"] = data["sites"] = None
    documented = set(re.findall(r"``(\w+)``", json_file.__doc__))
    assert keys_of(data) <= documented


def test_what_json_cannot_say_is_null(make):
    study = make.study(trials=1)
    odd = replace(study.trials[0].outcome, notes={"loss": float("nan")}, excess={"r": float("inf")})
    family = family_of([replace(study, trials=(replace(study.trials[0], outcome=odd),))])
    record = json.loads(render_json(family))["arms"][0]["trials"][0]
    assert record["notes"] == {"loss": None}
    assert record["excess"] == {"r": None}


def test_every_kind_of_study_can_be_written(make):
    for study in (make.study(trials=0), make.one(), make.three(), make.failed(), make.hostile()):
        data = json.loads(render_json(family_of([study])))
        assert len(data["arms"][0]["trials"]) == len(study.trials)
    assert json.loads(render_json(family_of([make.failed()])))["reference"]["values"] is None
