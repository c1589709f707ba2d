"""Which files are written, and what happens if they cannot be."""

import json
import os
import subprocess
import sys

import pytest

from search.api.errors import ConfigError, StoreError
from search.report import FORMATS, write_report


def test_all_formats_by_default(family, tmp_path):
    written = write_report(family, tmp_path / "new" / "report")
    assert tuple(written) == FORMATS
    names = ["report.md", "report.json", "trials.csv", "report.html", "pareto.png", "pareto.svg"]
    assert [path.name for path in written.values()] == names
    assert sorted(os.listdir(tmp_path / "new" / "report")) == sorted(names)
    assert all(path.stat().st_size > 1000 for path in written.values())
    assert all(path.stat().st_mode & 0o777 == 0o644 for path in written.values())


def test_only_the_formats_asked_for(family, tmp_path):
    assert list(write_report(family, tmp_path, ("csv", "md", "csv"))) == ["csv", "md"]
    assert sorted(os.listdir(tmp_path)) == ["report.md", "trials.csv"]
    assert write_report(family, tmp_path, ()) == {}


def test_the_picture_is_shown_only_where_it_is_written(family, tmp_path):
    for formats, link in ((("md", "png"), "pareto.png"), (("svg", "md"), "pareto.svg")):
        text = write_report(family, tmp_path, formats)["md"].read_text()
        assert f"![Front]({link})" in text
    assert "![" not in write_report(family, tmp_path, ("md",))["md"].read_text()


def test_an_older_report_is_replaced(family, make, tmp_path):
    write_report(family, tmp_path, ("json",))
    path = write_report([make.study(trials=3)], tmp_path, ("json",))["json"]
    assert len(json.loads(path.read_text())["arms"]) == 1


def test_a_reference_reaches_the_files(family, tmp_path):
    path = write_report(family, tmp_path, ("json",), reference={"latency_2pc": 99.0})["json"]
    assert json.loads(path.read_text())["reference"]["values"]["latency_2pc"] == 99.0


def test_unknown_formats_are_refused_before_anything_is_written(family, tmp_path):
    with pytest.raises(ConfigError, match=r"unknown format 'htm' .*Did you mean 'html'\?"):
        write_report(family, tmp_path / "x", ("md", "htm"))
    assert not (tmp_path / "x").exists()


def test_a_directory_that_cannot_be_written_is_a_clear_error(family, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="report: cannot write to"):
        write_report(family, tmp_path / "file", ("md",))


def test_a_failed_write_leaves_the_old_file_and_no_rest(family, tmp_path):
    (tmp_path / "report.md").mkdir()
    with pytest.raises(StoreError):
        write_report(family, tmp_path, ("md",))
    assert os.listdir(tmp_path) == ["report.md"]


def test_text_that_is_no_unicode_is_written(make, tmp_path):
    study = make.study(trials=2, study="odd \udc80 name")
    for path in write_report([study], tmp_path, ("md", "json", "csv", "html")).values():
        path.read_text(encoding="utf-8")


def test_importing_the_report_loads_nothing_heavy():
    heavy = "{'plotly', 'matplotlib', 'optuna', 'torch', 'sklearn', 'ray'}"
    code = f"import sys, search.report; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
