"""The tree: every module has its tests beside it, and no file does too much."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("search", "spaces", "evaluators", "agents")
LONGEST = 400


def modules() -> list[Path]:
    """Python files of the four packages that do something."""
    found = [f for package in PACKAGES for f in sorted((ROOT / package).rglob("*.py"))]
    return [f for f in found if f.name != "__init__.py" or does_something(f)]


def does_something(file: Path) -> bool:
    """Whether a file defines a function or a class, and not only names and a docstring."""
    nodes = ast.walk(ast.parse(file.read_text(encoding="utf-8")))
    return any(isinstance(n, (ast.FunctionDef, ast.ClassDef)) for n in nodes)


def namesake(module: Path) -> Path:
    """Where the tests of ``module`` stand: ``test_init.py`` for ``__init__.py``."""
    inside = module.relative_to(ROOT)
    return ROOT / "tests" / inside.parent / f"test_{inside.stem.strip('_')}.py"


@pytest.mark.parametrize("module", modules(), ids=lambda m: str(m.relative_to(ROOT)))
def test_module_has_its_tests(module: Path) -> None:
    file = namesake(module)
    assert file.is_file(), f"{module.relative_to(ROOT)} needs {file.relative_to(ROOT)}"
    functions = [
        n.name for n in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(n, (ast.FunctionDef, ast.ClassDef))
    ]  # fmt: skip
    assert any(name.startswith(("test_", "Test")) for name in functions), f"no test in {file.name}"


def test_no_package_of_tests_shadows_the_code() -> None:
    found = [f.relative_to(ROOT / "tests") for f in (ROOT / "tests").rglob("__init__.py")]
    assert not [str(f) for f in found if f.parts[:2] != ("packaging", "extension")]


def test_tests_have_a_module_or_a_place() -> None:
    """A test below a mirrored folder that belongs to no module has outlived it."""
    known = {namesake(m) for m in modules()}
    lost = []
    for package in PACKAGES:
        for file in (ROOT / "tests" / package).rglob("test_*.py"):
            folder = ROOT / file.relative_to(ROOT / "tests").parent
            if file not in known and not folder.is_dir():
                lost.append(str(file.relative_to(ROOT)))
    assert not lost


@pytest.mark.parametrize("place", [*PACKAGES, "tests", "benchmarks"])
def test_files_are_short(place: str) -> None:
    lengths = {
        str(f.relative_to(ROOT)): len(f.read_text(encoding="utf-8").splitlines())
        for f in (ROOT / place).rglob("*.py")
    }
    assert not {name: n for name, n in lengths.items() if n > LONGEST}


@pytest.mark.parametrize("package", PACKAGES)
def test_packages_say_that_they_are_typed(package: str) -> None:
    assert (ROOT / package / "py.typed").is_file()


@pytest.mark.parametrize("package", PACKAGES)
def test_every_module_says_what_it_is(package: str) -> None:
    silent = [
        str(f.relative_to(ROOT)) for f in (ROOT / package).rglob("*.py")
        if not ast.get_docstring(ast.parse(f.read_text(encoding="utf-8")))
    ]  # fmt: skip
    assert not silent
