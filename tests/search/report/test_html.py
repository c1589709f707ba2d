"""The page: complete, self-contained, safe, and alive in a real browser."""

import json
import re
import shutil
import subprocess
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser

import pytest

from search.report.family import family_of
from search.report.html import fill, render_html

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("chrome")
browser = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")


class Elements(HTMLParser):
    """Collects (tag, attributes) and the text of elements by id."""

    def __init__(self, text):
        super().__init__()
        self.found, self.scripts, self._in = [], [], None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        if tag == "script":
            self.scripts.append("")

    def handle_data(self, data):
        if self.found and self.found[-1][0] == "script":
            self.scripts[-1] += data


@pytest.fixture(scope="module")
def page(make):
    return render_html(family_of([make.study("main", 60), make.study("random", 50)]))


def test_the_page_has_every_section(page):
    ids = {attrs.get("id") for _, attrs in Elements(page).found}
    assert ids >= {"front", "trial", "progress", "arms", "importance", "evidence", "health",
                   "trials", "repeat", "report-data"}  # fmt: skip
    for text in ("Front of main", "What was modelled and what was measured", "Arms side by side"):
        assert text in page
    for text in ("Normalised specification", "granularity: layer", "auto: two objectives"):
        assert text in page


def test_the_page_loads_nothing(page):
    for tag, attrs in Elements(page).found:
        assert tag not in ("link", "iframe", "img", "object", "embed", "base")
        assert "src" not in attrs
        assert attrs.get("href", "#").startswith("#")
    assert "default-src 'none'" in page
    assert len(page.encode()) < 8_000_000


def test_the_data_of_the_page_is_json(page):
    found = Elements(page)
    data = json.loads(found.scripts[0])
    assert [arm["name"] for arm in data["arms"]] == ["main", "random"]
    assert len(found.scripts) == 3


def test_evidence_is_a_badge_and_intervals_are_shown(page):
    assert '<span class="badge measured">measured</span>' in page
    assert '<span class="badge model">model</span>' in page
    assert re.search(r'<span class="range">[\d.]+ to [\d.]+</span>', page)


def test_a_plain_number_has_no_unit_on_its_card(make):
    study = make.study("main", 5)
    first = replace(study.objectives[0], unit="1")
    page = render_html(family_of([replace(study, objectives=(first, *study.objectives[1:]))]))
    cards = re.findall(r"<dt>(?:Lowest|Highest) .*?<small>(.*?)</small>", page)
    assert cards == ["", study.objectives[1].unit]


def test_hostile_strings_open_no_element(make):
    text = render_html(family_of([make.hostile()]))
    found = Elements(text)
    assert len(found.scripts) == 3
    assert not [attrs for _, attrs in found.found if "onerror" in attrs or "onload" in attrs]
    assert "img" not in {tag for tag, _ in found.found}
    assert json.loads(found.scripts[0])["arms"][0]["name"] == make.HOSTILE


def test_what_is_filled_in_is_not_read_again():
    assert fill("{{a}}-{{b}}", {"a": "{{b}}", "b": "x"}) == "{{b}}-x"
    with pytest.raises(KeyError):
        fill("{{missing}}", {})


@pytest.mark.slow
def test_five_thousand_trials_stay_below_eight_megabytes(make):
    page = render_html(family_of([make.study("main", 5000)]))
    assert len(page.encode()) < 8_000_000


ACTIONS = """
<script>
window.addEventListener("load", () => {
  const out = {};
  const plots = () => document.querySelectorAll(".js-plotly-plot").length;
  out.report = document.documentElement.dataset.report;
  const messages = [...document.querySelectorAll("main .message")];
  out.messages = messages.filter((m) => !m.closest("noscript")).map((m) => m.textContent);
  out.plots = plots();
  out.title = document.title;
  out.boxes = document.querySelectorAll(".box").length;
  const picked = () => document.getElementById("pick").value;
  const front = document.querySelector("#front-plots .js-plotly-plot");
  if (front && front.emit) {
    front.emit("plotly_click", { points: [{ customdata: [0, 3] }] });
    out.clicked = picked();
    out.strip = document.querySelector(".row-title").textContent;
    out.facts = document.getElementById("details").textContent;
  }
  const find = document.getElementById("find");
  const rows = () => document.querySelectorAll("#trials-table tbody tr");
  if (rows().length) {
    const head = document.querySelectorAll("#trials-table th")[1];
    head.click(); head.click();
    out.sorted = rows()[0].cells[1].textContent;
    rows()[1].click();
    out.rowPicked = picked();
    find.value = "failed main"; find.dispatchEvent(new Event("input"));
    out.foundRows = [...rows()].map((r) => r.cells[1].textContent);
  }
  const table = document.querySelector("#front table");
  if (table) {
    table.querySelectorAll("th")[2].click();
    out.latencies = [...table.tBodies[0].rows].map((r) => Number(r.cells[2].dataset.v));
  }
  const result = document.createElement("output");
  result.id = "result";
  result.textContent = JSON.stringify(out);
  document.body.append(result);
});
</script>
"""


def in_browser(page, directory):
    """The page's state after clicks, as a real browser has it."""
    at = page.rindex("</body>")
    path = directory / "page.html"
    path.write_text(page[:at] + ACTIONS + page[at:], encoding="utf-8")
    command = [
        CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--disable-sync",
        "--disable-dev-shm-usage", f"--user-data-dir={directory / 'profile'}",
        "--window-size=1400,2000", "--virtual-time-budget=6000", "--dump-dom", path.as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    found = re.search(r'<output id="result">(.*?)</output>', done.stdout, re.DOTALL)
    assert found, "the page's script did not run to its end"
    return json.loads(unescape(found[1]))


@browser
@pytest.mark.slow
def test_clicks_choose_a_trial_and_tables_sort_and_filter(page, tmp_path):
    state = in_browser(page, tmp_path)
    assert (state["report"], state["messages"]) == ("ready", [])
    assert state["plots"] == 1 + 3 + 2
    assert state["boxes"] == 2 * 25
    assert state["clicked"] == "0:3"
    assert state["strip"].startswith("main, trial 3")
    assert "latency_2pc" in state["facts"]
    assert "model" in state["facts"]
    assert state["sorted"] == "59"
    assert state["rowPicked"].endswith(":58")
    assert state["foundRows"] == ["43", "26", "9"]
    assert state["latencies"] == sorted(state["latencies"])


@browser
@pytest.mark.slow
def test_hostile_strings_do_not_run(make, tmp_path):
    state = in_browser(render_html(family_of([make.hostile()])), tmp_path)
    assert (state["report"], state["messages"]) == ("ready", [])
    assert state["title"] != "PWNED"
    assert make.HOSTILE.split("\u2028")[0] in state["strip"]


@browser
@pytest.mark.slow
@pytest.mark.parametrize("kind", ["zero", "one", "three", "failed", "no sites", "no objectives"])
def test_every_kind_of_study_is_drawn(make, tmp_path, kind):
    study = {
        "zero": lambda: make.study(trials=0),
        "one": lambda: make.one(30),
        "three": lambda: make.three(30),
        "failed": lambda: make.failed(),
        "no sites": lambda: make.study(trials=8, sites=()),
        "no objectives": lambda: replace(make.study(trials=4), objectives=()),
    }[kind]()
    state = in_browser(render_html(family_of([study])), tmp_path)
    assert (state["report"], state["messages"]) == ("ready", [])
    expected = {"zero": 0, "one": 1 + 1, "three": 3 + 4, "failed": 0, "no sites": 1 + 3,
                "no objectives": 0}[kind]  # fmt: skip
    assert state["plots"] - expected in (0, len(study.objectives))  # with or without importance
