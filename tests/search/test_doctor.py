"""The doctor sees foreign packages, untested versions and missing extras, and says what to do."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from search import doctor
from search.doctor import Finding, examine, healthy, owner_of, requirement, sentinel_of


@pytest.fixture(scope="module")
def found() -> list[Finding]:
    return examine()


def pick(found: list[Finding], topic: str, name: str) -> Finding:
    (finding,) = [f for f in found if f.topic == topic and f.name == name]
    return finding


def package(folder: Path, text: str) -> Path:
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text(text)
    return folder


def test_this_installation_is_healthy(found: list[Finding]) -> None:
    assert [f for f in found if f.status == "wrong"] == []
    assert healthy(found)


def test_it_looks_at_everything(found: list[Finding]) -> None:
    assert {f.topic for f in found} == {
        "python", "packages", "packages of ours", "plugins", "devices", "ray", "data", "extras",
        "cache",
    }  # fmt: skip
    assert "tested: " in pick(found, "packages", "optuna").detail
    assert pick(found, "packages of ours", "evaluators").detail.endswith("evaluators")
    assert "fashion_mini" in pick(found, "plugins", "dataset").detail
    assert "embedded" in pick(found, "data", "fashion_mini").detail
    assert "CPU" in pick(found, "devices", "torch").detail or "CUDA" in (
        pick(found, "devices", "torch").detail
    )


def test_what_is_absent_comes_with_its_command(found: list[Finding]) -> None:
    for finding in found:
        if finding.status == "absent":
            assert "install" in finding.fix or finding.fix.startswith("search calibrate ")


@pytest.mark.parametrize("name", ["search", "spaces", "evaluators", "agents"])
def test_our_own_packages_are_known_by_their_sentinel(name: str) -> None:
    root = Path(doctor.__file__).parents[1]
    assert sentinel_of(root / name) == "cipher-search"
    assert owner_of(name, root / name, {name: ["cipher-search"]}).status == "ok"


def test_a_foreign_distribution_is_named_with_the_fix(tmp_path: Path) -> None:
    folder = package(tmp_path / "evaluators", "x = 1")
    finding = owner_of("evaluators", folder, {"evaluators": ["their-evaluators"]})
    assert finding.status == "wrong"
    assert "their-evaluators" in finding.detail
    assert finding.fix.startswith("pip uninstall their-evaluators && pip install")


def test_a_foreign_folder_is_named_with_the_fix(tmp_path: Path) -> None:
    finding = owner_of("agents", package(tmp_path / "agents", ""), {"agents": ["cipher-search"]})
    assert finding.status == "wrong"
    assert f"rename {tmp_path / 'agents'}" in finding.fix


def test_two_distributions_of_one_name_are_wrong_even_if_ours_is_on_top(tmp_path: Path) -> None:
    folder = package(tmp_path / "spaces", '__dist__ = "cipher-search"')
    finding = owner_of("spaces", folder, {"spaces": ["cipher-search", "other"]})
    assert finding.status == "wrong"
    assert "other ships a package of the same name" in finding.detail


def test_a_package_that_is_not_there(tmp_path: Path) -> None:
    finding = owner_of("spaces", None, {})
    assert (finding.status, finding.detail) == ("wrong", "cannot be imported")
    assert finding.fix


def test_the_sentinel_is_read_without_running_the_package(tmp_path: Path) -> None:
    folder = package(tmp_path / "p", 'raise SystemExit("run!")\n__dist__ = "theirs"')
    assert sentinel_of(folder) == "theirs"
    assert sentinel_of(package(tmp_path / "q", "def broken(")) is None
    assert sentinel_of(tmp_path / "none") is None


def test_versions_out_of_the_tested_range() -> None:
    assert requirement("pytest>=1").status == "ok"
    old = requirement("pytest<1")
    assert old.status == "wrong"
    assert "untested" in old.detail
    assert old.fix == "pip install 'pytest<1'"
    missing = requirement("no-such-package-at-all>=1")
    assert (missing.status, missing.fix) == ("wrong", "pip install 'no-such-package-at-all>=1'")


def test_a_cache_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("CIPHER_SEARCH_CACHE", str(tmp_path / "file" / "below"))
    (finding,) = doctor._cache()
    assert finding.status == "wrong"
    assert "CIPHER_SEARCH_CACHE" in finding.fix


def test_a_foreign_package_is_refused_by_the_commands(tmp_path: Path) -> None:
    package(tmp_path / "evaluators", "")
    (tmp_path / "c.yaml").write_text(
        "study: {name: s}\nspace: {name: parameters, params: {x: {real: [0, 1]}}}\n"
        "objectives: [a]\nladder: [{rung: r, evaluators: [relu_count]}]\n"
    )
    run = subprocess.run(
        [sys.executable, "-m", "search", "check", "c.yaml"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 2
    assert str(tmp_path / "evaluators") in run.stderr
    assert "search doctor" in run.stderr
    assert "Traceback" not in run.stderr
