"""The pictures."""

import io
import sys
import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest
from PIL import Image

from search.report.family import family_of
from search.report.figures import render_figure


def texts(svg):
    root = ET.fromstring(svg)
    return " ".join(e.text or "" for e in root.iter("{http://www.w3.org/2000/svg}text"))


def test_the_png_is_a_picture_with_the_colours_of_both_arms(family):
    image = Image.open(io.BytesIO(render_figure(family_of(family), "png"))).convert("RGB")
    assert image.width > 1000
    colours = {colour for _, colour in image.getcolors(maxcolors=1 << 24)}
    assert {(0x00, 0x72, 0xB2), (0xD5, 0x5E, 0x00)} <= colours


def test_axes_carry_unit_evidence_and_direction(family):
    shown = texts(render_figure(family_of(family), "svg"))
    assert "accuracy [%], measured (higher is better)" in shown
    assert "latency_2pc [ms], model (lower is better)" in shown
    for name in ("main, front", "main, infeasible", "random, front"):
        assert name in shown


def test_equal_families_give_equal_bytes(family):
    made = family_of(family)
    assert render_figure(made, "svg") == render_figure(made, "svg")
    assert render_figure(made, "png") == render_figure(made, "png")


def test_three_objectives_give_a_panel_per_pair(make):
    assert texts(render_figure(family_of([make.three()]), "svg")).count("lower is better") == 4


def test_one_objective_gives_its_history(make):
    shown = texts(render_figure(family_of([make.one()]), "svg"))
    assert "main, best so far" in shown
    assert "trials ended" in shown


@pytest.mark.parametrize("form", ["png", "svg"])
def test_nothing_scored_is_said(make, form):
    for study in (
        make.study(trials=0),
        make.failed(),
        replace(make.study(trials=2), objectives=()),
    ):
        picture = render_figure(family_of([study]), form)
        if form == "svg":
            assert "No trial was completed." in texts(picture)


def test_strings_of_a_study_stay_text(make):
    picture = render_figure(family_of([make.hostile()]), "svg")
    assert b"<script" not in picture
    assert "accuracy [</script>]" in texts(picture)
    dollars = replace(make.study(trials=4), arm="$\\frac{", study="$")
    assert "$\\frac{, front" in texts(render_figure(family_of([dollars]), "svg"))


def test_a_wide_range_is_logarithmic(make):
    study = make.study(trials=3)
    wide = tuple(
        replace(t, values=(90.0 + i, 10.0 ** (2 * i)), outcome=replace(t.outcome, excess={}))
        for i, t in enumerate(study.trials)
    )
    shown = render_figure(family_of([replace(study, trials=wide)]), "svg")
    assert texts(shown).count("10") >= 3  # powers of ten as tick labels


def test_pyplot_is_not_loaded(family):
    render_figure(family_of(family), "png")
    assert "matplotlib.pyplot" not in sys.modules
