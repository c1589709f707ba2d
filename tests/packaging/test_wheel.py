"""The wheel: four import packages, their data, and nothing else."""

from __future__ import annotations

import configparser
import tomllib
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("search", "spaces", "evaluators", "agents")


@pytest.fixture(scope="module")
def wheel(
    pip: Callable[..., None],
    copy_of: Callable[..., Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[zipfile.ZipFile]:
    """The built wheel, opened."""
    names = (*PACKAGES, "pyproject.toml", "README.md", "LICENSE")
    source, target = copy_of(*(ROOT / name for name in names)), tmp_path_factory.mktemp("wheel")
    pip("wheel", str(source), "--wheel-dir", str(target))
    (file,) = target.glob("*.whl")
    with zipfile.ZipFile(file) as opened:
        yield opened


@pytest.fixture(scope="module")
def settings() -> Any:
    """The project table of pyproject.toml."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_it_holds_four_packages_and_its_metadata(
    wheel: zipfile.ZipFile, settings: dict[str, Any]
) -> None:
    tops = {name.partition("/")[0] for name in wheel.namelist()}
    assert tops == {*PACKAGES, f"cipher_search-{settings['version']}.dist-info"}


def test_it_holds_every_file_of_the_packages(wheel: zipfile.ZipFile) -> None:
    files = {
        str(f.relative_to(ROOT)) for package in PACKAGES for f in (ROOT / package).rglob("*")
        if f.is_file() and "__pycache__" not in f.parts and not f.name.startswith(".")
    }  # fmt: skip
    assert {n for n in wheel.namelist() if n.partition("/")[0] in PACKAGES} == files


@pytest.mark.parametrize(
    "name",
    [
        *(f"{package}/py.typed" for package in PACKAGES),
        "search/workloads/data/fashion_mini.npz",
        "search/workloads/data/LICENSE.fashion-mnist",
        "search/report/template.html",
        "search/report/report.css",
        "search/report/report.js",
        "evaluators/mpc/tables/pasnet_fpga.toml",
    ],
)
def test_data_comes_with_it(wheel: zipfile.ZipFile, name: str) -> None:
    assert wheel.getinfo(name).file_size >= (0 if name.endswith("py.typed") else 1)


def test_it_is_small(wheel: zipfile.ZipFile) -> None:
    assert sum(info.compress_size for info in wheel.infolist()) < 8e6


def test_it_says_what_it_is(wheel: zipfile.ZipFile, settings: dict[str, Any]) -> None:
    folder = f"cipher_search-{settings['version']}.dist-info"
    metadata = wheel.read(f"{folder}/METADATA").decode()
    assert "License-Expression: Apache-2.0" in metadata
    assert "Requires-Python: >=3.11" in metadata
    assert "# cipher-search" in metadata  # the README
    assert f"{folder}/licenses/LICENSE" in wheel.namelist()


def test_its_plugin_table_is_that_of_the_project(
    wheel: zipfile.ZipFile, settings: dict[str, Any]
) -> None:
    table = configparser.ConfigParser(delimiters=("=",))
    table.optionxform = str  # type: ignore[method-assign,assignment]
    folder = f"cipher_search-{settings['version']}.dist-info"
    table.read_string(wheel.read(f"{folder}/entry_points.txt").decode())
    assert dict(table["console_scripts"]) == settings["scripts"]
    for group, entries in settings["entry-points"].items():
        assert dict(table[group]) == entries
