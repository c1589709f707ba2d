"""Names to plugins: found without loading, loaded when named, refused with a hint."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from search import registry
from search.api.errors import MissingExtra, PluginError


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What a test registers or installs is gone after it."""
    monkeypatch.setattr(registry, "_overlay", {})
    registry._index.cache_clear()
    yield
    registry._index.cache_clear()


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on the import path: distributions put into it count as installed."""
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def distribution(folder: Path, name: str, entries: str, group: str = "searchers") -> None:
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[cipher_search.{group}]\n{entries}\n")


class Mine:
    """A searcher of this process.

    More about it.
    """


def test_a_registered_class_is_found_beside_the_installed_ones() -> None:
    assert registry.register("searcher", "mine")(Mine) is Mine
    assert registry.load("searcher", "mine") is Mine
    assert {"mine", "random"} <= set(registry.names("searcher"))
    assert registry.names("searcher") == sorted(registry.names("searcher"))
    assert registry.target("searcher", "mine") is None
    assert registry.keywords("searcher", "mine") is None
    (info,) = [i for i in registry.describe("searcher") if i.name == "mine"]
    assert (info.distribution, info.doc) == ("this process", "A searcher of this process.")


def test_the_same_class_may_register_again_and_no_other() -> None:
    registry.register("searcher", "mine")(Mine)
    registry.register("searcher", "mine")(Mine)
    with pytest.raises(PluginError, match=r"searcher 'mine' is registered already, by .*:Mine"):
        registry.register("searcher", "mine")(type("Other", (), {}))


def test_an_installed_name_is_taken() -> None:
    with pytest.raises(PluginError, match="'random' is taken by search.searchers.random_search"):
        registry.register("searcher", "random")(Mine)


def test_one_name_may_serve_two_kinds() -> None:
    registry.register("runner", "random")(Mine)
    assert registry.load("runner", "random") is Mine
    assert registry.load("searcher", "random") is not Mine


@pytest.mark.parametrize("call", [registry.names, registry.describe])
def test_unknown_kinds_are_refused(call: object) -> None:
    with pytest.raises(PluginError, match=r"unknown plugin kind 'serchers' \(known: space, "):
        call("serchers")  # type: ignore[operator]
    with pytest.raises(PluginError, match="unknown plugin kind"):
        registry.register("serchers", "x")


def test_unknown_names_list_the_known_and_the_nearest() -> None:
    with pytest.raises(PluginError, match=r"unknown searcher 'randm' \(known: .*grid.*'random'\?$"):
        registry.load("searcher", "randm")
    with pytest.raises(PluginError) as refused:
        registry.load("searcher", "zzzzzz")
    assert "Did you mean" not in str(refused.value)


def test_docs_and_keywords_are_read_without_importing() -> None:
    code = (
        "import sys; from search import registry\n"
        "docs = {i.name: i.doc for kind in registry.KINDS for i in registry.describe(kind)}\n"
        "assert docs['tpe'].startswith('Tree-structured Parzen estimator'), docs['tpe']\n"
        "assert 'width' in registry.keywords('network', 'resnet_mini')\n"
        "print([m for m in ('torch', 'optuna', 'ray', 'search.searchers') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_class_has_no_keywords() -> None:
    assert registry.keywords("searcher", "random") is None
    assert registry.target("searcher", "random") == "search.searchers.random_search:RandomSearch"


def test_another_distribution_adds_plugins(install: Path) -> None:
    (install / "theirs.py").write_text('class Theirs:\n    """Of another team."""\n')
    distribution(install, "their-dist", "theirs = theirs:Theirs")
    assert registry.load("searcher", "theirs").__doc__ == "Of another team."
    (info,) = [i for i in registry.describe("searcher") if i.name == "theirs"]
    assert (info.distribution, info.doc) == ("their-dist 1.0", "Of another team.")


def test_a_name_shipped_twice_is_refused(install: Path) -> None:
    distribution(install, "first-dist", "theirs = first:A")
    distribution(install, "second-dist", "theirs = second:B")
    with pytest.raises(PluginError, match="'theirs' is shipped twice: by .*uninstall one"):
        registry.names("searcher")


def test_the_same_target_twice_is_no_clash(install: Path) -> None:
    distribution(install, "first-dist", "theirs = theirs:A")
    distribution(install, "second-dist", "theirs = theirs:A")
    assert "theirs" in registry.names("searcher")


@pytest.mark.parametrize(
    ("source", "error", "message"),
    [
        (
            "import not_installed_anywhere",
            MissingExtra,
            "needs the package 'not_installed_anywhere'",
        ),
        ("import search.not_there", PluginError, "cannot import search.not_there"),
        ("", PluginError, "'theirs' of their-dist 1.0 does not load: .*Theirs"),
        ("from os import nothing_such", PluginError, "does not load: cannot import name"),
    ],
)
def test_what_does_not_load_says_why(
    install: Path, source: str, error: type[PluginError], message: str
) -> None:
    # A module name of its own: imports are remembered.
    module = f"broken_{abs(hash(source))}"
    (install / f"{module}.py").write_text(source + "\n")
    distribution(install, "their-dist", f"theirs = {module}:Theirs")
    with pytest.raises(PluginError, match=message) as refused:
        registry.load("searcher", "theirs")
    assert type(refused.value) is error


def test_a_plugin_whose_source_is_not_there_is_listed_as_such(install: Path) -> None:
    distribution(install, "their-dist", "theirs = nowhere.at_all:Theirs")
    (info,) = [i for i in registry.describe("searcher") if i.name == "theirs"]
    assert info.doc == registry.NO_SOURCE


def test_a_plugin_file_registers(tmp_path: Path) -> None:
    file = tmp_path / "plug.py"
    file.write_text("from search import register\n@register('runner', 'own')\nclass Own: ...\n")
    registry.load_plugin_file(file)
    assert registry.load("runner", "own").__name__ == "Own"


@pytest.mark.parametrize(
    ("name", "source", "message"),
    [
        ("absent.py", None, "absent.py: no such file"),
        ("plug.txt", "", "plug.txt: not a Python file"),
        ("plug.py", "1 / 0", "plug.py: ZeroDivisionError: division by zero"),
        ("plug.py", "def", "plug.py: SyntaxError"),
        (
            "plug.py",
            "from search import register\nregister('runner', 'inline')(int)",
            "^runner 'inline' is taken",
        ),
    ],
)
def test_broken_plugin_files_say_why(
    tmp_path: Path, name: str, source: str | None, message: str
) -> None:
    if source is not None:
        (tmp_path / name).write_text(source)
    with pytest.raises(PluginError, match=message):
        registry.load_plugin_file(tmp_path / name)


def test_a_foreign_package_that_hides_ours_is_named(tmp_path: Path) -> None:
    (tmp_path / "evaluators").mkdir()
    (tmp_path / "evaluators" / "__init__.py").write_text("")
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "from search import registry\n"
        "from search.api.errors import PluginError\n"
        "try: registry.load('evaluator', 'relu_count')\n"
        "except PluginError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert f"the package 'evaluators' at {tmp_path}" in done.stdout
    assert "is not that of cipher-search" in done.stdout
