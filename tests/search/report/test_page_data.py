"""What the page knows."""

import json
from dataclasses import replace

import pytest

from search.report.family import family_of
from search.report.page_data import page_data, script_json


def test_trials_come_by_column_with_details(family):
    data = page_data(family_of(family), [])
    main = data["arms"][0]
    assert len(main["number"]) == len(main["status"]) == len(main["values"][0]) == 60
    first = main["details"]["0"]
    assert [m[0] for m in first["measurements"]][-1] == "accuracy"
    assert first["measurements"][0][2:4] == ["ms", "model"]
    assert first["origin"] == "user by ada: all ReLU first"
    assert len(first["plan"]) == len(data["sites"])
    assert first["plan"][0] == 0
    assert first["plan"][1][0] in ("relu", "x2act")
    assert data["sites"][1] == ["stem.act", "relu", 3136, "16×14×14", "16×14×14", 1]
    assert set(data["operators"]) >= {"relu", "x2act", "conv", "max", "avg"}
    assert data["objectives"][1]["limits"] == [{"at": 9.5, "text": "latency_2pc <= 9.5 ms"}]
    assert set(main["intervals"][0]) == {str(n) for n in main["number"] if main["front"][n]}


def test_scores_are_there_only_for_scored_trials(family):
    main = page_data(family_of(family), [])["arms"][0]
    for status, value in zip(main["status"], main["values"][0], strict=True):
        assert (value is not None) == (status == "complete")


def test_a_network_without_sites_is_drawn_from_the_plans(make):
    data = page_data(family_of([make.study(trials=4, sites=())]), [])
    assert len(data["sites"]) == 10
    assert data["sites"][0] == ["stem.act", "", 0, "", "", 1]


def test_a_limit_in_another_dimension_is_left_out(make):
    from search.api.metric import Constraint

    odd = (Constraint("latency_2pc", "<=", 3.0, "MB"), Constraint("latency_2pc", "<=", 0.005, "s"))
    data = page_data(family_of([make.study(trials=2, constraints=odd)]), [])
    assert data["objectives"][1]["limits"] == [
        {"at": pytest.approx(5.0), "text": "latency_2pc <= 0.005 s"}
    ]


def test_the_size_is_bounded_and_the_front_keeps_its_details(make):
    arms = [make.study("main", 5000), make.study("random", 5000)]
    data = page_data(family_of(arms), [])
    assert len(script_json(data)) < 3_000_000
    for arm in data["arms"]:
        front = {str(n) for n, on in zip(arm["number"], arm["front"], strict=True) if on}
        assert front <= set(arm["details"])
        assert len(arm["number"]) == 5000


def test_script_json_cannot_close_its_element():
    text = script_json({"</script>": ["<!--", "&", "\u2028", float("nan")]})
    assert not set("<>&\u2028") & set(text)
    assert json.loads(text) == {"</script>": ["<!--", "&", "\u2028", None]}


def test_a_masked_site_says_what_it_keeps_and_its_parts_have_a_look(make):
    snapshot = make.study(trials=1)
    (trial,) = snapshot.trials
    entry = {"site": "stem.act", "operator": "relu/poly2", "kept": 40}
    outcome = replace(trial.outcome, candidate={"payload": {"choices": [entry]}})
    arm = replace(snapshot, trials=(replace(trial, outcome=outcome),))
    data = page_data(family_of([arm]), [])
    assert data["arms"][0]["details"]["0"]["plan"][1] == ["relu/poly2", 1, 40]
    assert {"relu", "poly2"} <= set(data["operators"])
