"""What a packed linear map says about its rotations."""

from __future__ import annotations

import numpy as np
import pytest

from evaluators.fhe.packed import Layout, PackedLinear, Term

TERMS = (Term(0, 0, 0, 0), Term(0, 0, 3, 0), Term(1, 0, 3, 8), Term(0, 1, 3, 8), Term(0, 1, 0, 16))


def test_rotations_are_counted_once() -> None:
    layout = Layout(np.arange(40), 32, 2, "rows")
    linear = PackedLinear(
        "fc", layout, layout, TERMS, (4, 2), False, lambda index: np.zeros(32),
        lambda: np.zeros((2, 32)),
    )  # fmt: skip
    assert linear.babies == {(0, 3), (1, 3)}
    assert linear.giants == {(0, 8), (1, 8), (1, 16)}
    assert linear.rotations == 2 + 3 + 2 * 2


def test_what_is_rescaled_cannot_be_folded_before() -> None:
    layout = Layout(np.arange(40), 32, 2, "rows")
    with pytest.raises(ValueError, match="fc: folds cannot come before .*got early and fold_first"):
        PackedLinear(
            "fc", layout, layout, TERMS, (4, 2), True, lambda index: np.zeros(32),
            lambda: np.zeros((2, 32)), fold_first=True,
        )  # fmt: skip
