"""The table and the picture of members."""

import io
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

from PIL import Image

from search.api.metric import Measurement, Metric
from search.api.snapshot import Snapshot
from search.api.trial import Origin, Outcome, RungResult, Trial
from search.report.family import family_of
from search.report.html import render_html
from search.report.markdown import render_markdown
from search.report.members import has_members, members_table, members_tables, render_members
from search.report.tables import front_table
from search.report.write import write_report


def metric(name, unit, goal):
    words = ("1", "2", "worst", "mean")
    return {f"{name}.{w}": Metric(f"{name}.{w}", unit, goal, "") for w in words}


METRICS = metric("accuracy", "%", "max") | metric("energy_2pc", "J", "min")
OBJECTIVE = METRICS["accuracy.worst"]


def member(level, density, nonzeros):
    payload = {"level": level, "density": density,
               "weights": [{"site": "conv", "nonzeros": nonzeros}]}  # fmt: skip
    return {"kind": "relu_placement", "payload": payload, "members": []}


def study(arm="main", lift=0.0, members=True):
    values = {"accuracy.1": 80.0 + lift, "accuracy.2": 85.0 + lift, "accuracy.worst": 80.0 + lift,
              "accuracy.mean": 82.5 + lift}  # fmt: skip
    costs = {"energy_2pc.1": 0.25, "energy_2pc.2": 0.5, "energy_2pc.worst": 0.5,
             "energy_2pc.mean": 0.375}  # fmt: skip
    found = [Measurement(n, v, "%", "top", "measured", split="validation")
             for n, v in values.items()]  # fmt: skip
    found += [Measurement(n, v, "J", "top", "model") for n, v in costs.items()]
    found += [Measurement(n, v - 1, "%", "test", "measured", split="test")
              for n, v in values.items()]  # fmt: skip
    candidate = {
        "kind": "relu_placement", "payload": {},
        "members": [member(1, 0.05, 12), member(2, 0.4, 99)] if members else [],
    }  # fmt: skip
    outcome = Outcome(7, "complete", (RungResult("top", 1.0, tuple(found)),), {}, candidate)
    trial = Trial(7, {}, 0, Origin("sampler"), "complete", (80.0 + lift,), outcome,
                  started=0.0, finished=1.0)  # fmt: skip
    return Snapshot("nested", arm, Path("runs"), "0" * 16, {}, (OBJECTIVE,), (), (), METRICS,
                    (trial,))  # fmt: skip


def test_every_member_has_a_row_with_all_that_was_measured():
    (table,) = members_tables(family_of([study()]))
    assert table.columns[:4] == ("trial", "member", "density [%]", "weights that are not zero")
    assert table.columns[4:] == ("accuracy [%]", "energy_2pc [J]", "accuracy, test split [%]")
    plain = [tuple(getattr(c, "value", c) for c in row) for row in table.rows]
    assert plain == [(7, 1, 5.0, 12, 80.0, 0.25, 79.0), (7, 2, 40.0, 99, 85.0, 0.5, 84.0)]
    assert "took no part" in table.note


def test_the_front_leaves_members_to_their_own_table():
    family = family_of([study()])
    columns = " ".join(front_table(family.main).columns)
    assert "accuracy.worst" in columns
    assert "energy_2pc" not in columns
    assert "accuracy.1" not in columns


def test_the_picture_shows_accuracy_against_energy():
    family = family_of([study(), study("magnitude", -3.0)])
    assert has_members(family)
    svg = render_members(family, "svg")
    shown = " ".join(
        e.text or "" for e in ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")
    )
    assert "energy_2pc [J], model (lower is better)" in shown
    assert "accuracy [%], measured (higher is better)" in shown
    assert "magnitude, members" in shown
    assert svg == render_members(family, "svg")
    assert Image.open(io.BytesIO(render_members(family, "png"))).width > 1000


def test_reports_carry_both(tmp_path):
    family = family_of([study()])
    text = render_markdown(family, "pareto.png", "members.png")
    assert "![Members](members.png)" in text
    assert "Members of the front of main" in text
    page = render_html(family)
    assert "data:image/svg+xml;base64," in page
    assert "Members of the front of main" in page
    write_report([study()], tmp_path, ["md", "png"])
    assert (tmp_path / "members.png").is_file()
    assert "![Members](members.png)" in (tmp_path / "report.md").read_text()


def test_studies_of_single_networks_have_nothing_of_it(tmp_path):
    family = family_of([study(members=False)])
    assert not has_members(family)
    assert members_tables(family) == []
    assert "No trial of the front is a set" in members_table(family.main).empty
    assert "Members: accuracy" not in render_html(family)
    write_report([study(members=False)], tmp_path, ["md", "png"])
    assert not (tmp_path / "members.png").exists()


def test_without_a_cost_the_picture_says_so():
    one = study()
    accuracy = {n: m for n, m in METRICS.items() if n.startswith("accuracy")}
    shown = render_members(family_of([replace(one, metrics=accuracy)]), "svg").decode()
    assert "no two metrics to draw" in shown
