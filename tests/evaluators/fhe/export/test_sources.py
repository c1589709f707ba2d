from __future__ import annotations

import ast
from pathlib import Path

import pytest

from evaluators.fhe.export.sources import closure, copies, imported, renamed

SCRIPT = "evaluators.fhe.export.infer"


def test_the_engine_comes_along_and_nothing_else() -> None:
    found = closure(SCRIPT)
    assert {"evaluators.fhe.seal.engine", "evaluators.fhe.seal.program", SCRIPT} <= found
    assert not {name for name in found if "polynomial_plan" in name or "packing" in name}


def test_copies_are_the_modules_but_for_the_name_of_their_package() -> None:
    import evaluators.fhe.seal.engine as engine

    found = copies(SCRIPT)
    own = Path(engine.__file__).read_text(encoding="utf-8")
    copy = found["ckks_engine/seal/engine.py"]
    assert copy.replace("from ckks_engine.", "from evaluators.fhe.") == own
    assert "from ckks_engine.seal.engine import" in found["infer.py"]
    assert {"ckks_engine/__init__.py", "ckks_engine/seal/__init__.py"} <= set(found)
    for text in found.values():
        ast.parse(text)


def test_imports_are_found_where_they_count() -> None:
    source = (
        "from typing import TYPE_CHECKING\nimport numpy as np\n"
        "from evaluators.fhe.seal import engine\n"
        "from evaluators.fhe.circuit import Operation\n"
        "if TYPE_CHECKING:\n    import torch\n"
        "def f():\n    import scipy\n"
    )
    assert list(imported(source)) == [
        "typing", "numpy", "evaluators.fhe.seal.engine", "evaluators.fhe.circuit",
    ]  # fmt: skip


def test_only_imports_are_renamed() -> None:
    source = 'from evaluators.fhe.a import b\nx = "evaluators.fhe.a"\n    import evaluators.fhe.c\n'
    expected = 'from ckks_engine.a import b\nx = "evaluators.fhe.a"\n    import ckks_engine.c\n'
    assert renamed(source) == expected


def test_a_module_that_needs_more_cannot_be_copied() -> None:
    with pytest.raises(ImportError, match="imports .*, so it cannot be copied"):
        closure("evaluators.fhe.trace")
    with pytest.raises(ImportError, match="no source of evaluators.fhe.nowhere"):
        closure("evaluators.fhe.nowhere")
