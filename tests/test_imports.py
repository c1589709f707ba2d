"""Who may import whom, and what may be loaded when."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HEAVY = {"torch", "ray", "optuna", "langchain", "langchain_core", "openai", "tenseal", "sklearn",
         "matplotlib", "plotly", "pandas"}  # fmt: skip


def loaded_by(code: str) -> set[str]:
    """Top-level modules in ``sys.modules`` after a fresh interpreter ran ``code``."""
    script = (
        code + "\nimport sys\nprint('\\n' + ' '.join({m.partition('.')[0] for m in sys.modules}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=True
    )
    return set(done.stdout.strip().splitlines()[-1].split())


def layers() -> set[str]:
    """Modules named in the layers contract."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = settings["tool"]["importlinter"]["contracts"]
    (lines,) = [c["layers"] for c in contracts if c["type"] == "layers"]
    return {name.strip(" ()") for line in lines for name in line.split("|")}


def test_contracts_are_kept() -> None:
    pytest.importorskip("importlinter")
    command = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run(
        [str(command), "--no-cache"], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_module_has_its_layer() -> None:
    inside = {
        f"search.{p.stem}" for p in (ROOT / "search").iterdir()
        if (p.suffix == ".py" or (p / "__init__.py").is_file()) and p.stem != "__init__"
    }  # fmt: skip
    assert inside | {"spaces", "evaluators", "agents"} <= layers()


@pytest.mark.parametrize("package", ["search", "search.cli", "spaces", "evaluators", "agents"])
def test_packages_load_next_to_nothing(package: str) -> None:
    assert not loaded_by(f"import {package}") & (HEAVY | {"pydantic", "numpy", "yaml"})


def test_api_needs_the_standard_library_alone() -> None:
    names = [f"search.api.{p.stem}" for p in (ROOT / "search/api").glob("*.py")]
    # Compared with an empty start: tools of the environment may load things of their own.
    extra = loaded_by("import " + ", ".join(n.removesuffix(".__init__") for n in names))
    assert extra - loaded_by("pass") - set(sys.stdlib_module_names) <= {"search"}


def test_help_loads_no_heavy_package() -> None:
    code = (
        "import sys\nfrom search.cli import main\nsys.argv = ['search', '--help']\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code, end.code"
    )
    assert not loaded_by(code) & (HEAVY | {"rich"})


def test_listing_plugins_loads_none_of_them() -> None:
    code = (
        "import sys\nfrom search.cli import main\nsys.argv = ['search', 'list', '--json']\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code, end.code"
    )
    assert not loaded_by(code) & HEAVY
