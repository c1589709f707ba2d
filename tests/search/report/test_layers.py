"""The table and the picture of what pruned layers keep."""

import base64
import io
import re
from pathlib import Path

from PIL import Image

from search.api.metric import Metric
from search.api.snapshot import Snapshot
from search.api.trial import Origin, Outcome, Trial
from search.report.family import family_of
from search.report.html import render_html
from search.report.layers import has_layers, layers_tables, render_layers
from search.report.markdown import render_markdown
from search.report.write import write_report

ACCURACY = Metric("accuracy", "%", "max", "top-1 accuracy")


def entry(site, structure, kept, units):
    return {"site": site, "structure": structure, "kept": kept, "units": units}


def trial(number, accuracy, *layers):
    payload = {"layers": list(layers)} if layers else {}
    outcome = Outcome(number, "complete", (), {}, {"kind": "pruning_ratio", "payload": payload})
    return Trial(number, {}, 0, Origin("sampler"), "complete", (accuracy,), outcome,
                 started=0.0, finished=1.0)  # fmt: skip


def study(*trials, arm="main"):
    metrics = {"accuracy": ACCURACY}
    return Snapshot("pruned", arm, Path("runs"), "0" * 16, {}, (ACCURACY,), (), (), metrics, trials)


ONE = trial(3, 90.0, entry("conv1", "element", 100, 500), entry("fc1", "element", 9, 1000))
OTHER = trial(1, 88.0, entry("conv1", "filter", 10, 20), entry("conv1", "column", 5, 25))


def test_every_layer_has_a_row_and_every_trial_a_column():
    (table,) = layers_tables(family_of([study(ONE), study(OTHER, arm="by_hand")]))
    assert table.columns == ("layer", "structure", "main #3 [%]", "by_hand #1 [%]")
    assert table.rows == (
        ("conv1", "element", 20.0, None),
        ("conv1", "filter", None, 50.0),
        ("conv1", "column", None, 20.0),
        ("fc1", "element", 0.9, None),
    )
    assert "not pruned in this way" in table.note


def test_the_picture_says_what_is_kept(tmp_path):
    family = family_of([study(ONE), study(OTHER, arm="by_hand")])
    shown = render_layers(family, "svg").decode()
    for text in ("conv1, filter", "fc1, element", "main #3", "by_hand #1", "0.9", "units kept"):
        assert text in shown
    assert render_layers(family, "svg").decode() == shown
    write_report([study(ONE)], tmp_path, ["md", "png"])
    with Image.open(io.BytesIO((tmp_path / "layers.png").read_bytes())) as image:
        assert image.width > 300
    assert "![Layers](layers.png)" in (tmp_path / "report.md").read_text()


def test_a_page_carries_picture_and_table():
    page = render_html(family_of([study(ONE)]))
    assert "What each layer keeps" in page
    code = re.search(r'alt="Pruned networks on the fronts"[^>]*base64,([^"]+)"', page)
    assert code is not None
    assert "elements kept" in base64.b64decode(code[1]).decode()


def test_many_trials_are_thinned_and_other_studies_have_nothing_of_it(tmp_path):
    many = [trial(n, 90.0, entry("fc", "element", n + 1, 100)) for n in range(40)]
    family = family_of([study(*many)])
    assert len(family.main.front) == 40  # equal values are all kept
    (table,) = layers_tables(family)
    assert len(table.columns) == 2 + 12
    plain = family_of([study(trial(0, 90.0))])
    assert not has_layers(plain)
    assert layers_tables(plain) == []
    assert "What each layer keeps" not in render_html(plain) + render_markdown(plain)
    write_report([study(trial(0, 90.0))], tmp_path, ["png"])
    assert not (tmp_path / "layers.png").exists()
