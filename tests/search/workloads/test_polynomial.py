"""One scale for every polynomial, known without torch."""

from __future__ import annotations

import subprocess
import sys

import pytest

from search.methods.finetune import Finetune
from search.workloads.operators import X2Act
from search.workloads.polynomial import C_DEFAULT, scale_of


@pytest.mark.parametrize(("elements", "c", "scale"), [(16, 4.0, 1.0), (400, 20.0, 1.0), (1, 3, 3)])
def test_the_scale_falls_with_the_root_of_the_map(elements: int, c: float, scale: float) -> None:
    assert scale_of(elements, c) == pytest.approx(scale)


def test_operators_and_methods_start_from_the_same_constant() -> None:
    assert X2Act(100).scale == pytest.approx(scale_of(100)) == pytest.approx(C_DEFAULT / 10)
    assert Finetune.Config().polynomial_scale == C_DEFAULT


def test_options_are_read_without_torch() -> None:
    code = (
        "import sys; import search.methods.finetune, search.methods.polympcnet;"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
