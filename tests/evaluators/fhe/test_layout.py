"""Where elements stand in slots."""

from __future__ import annotations

import numpy as np
import pytest

from evaluators.fhe.failures import BackendFailure
from evaluators.fhe.layout import channels, gaps, laid_out, phases, power, rows, spread


@pytest.mark.parametrize(("number", "expected"), [(0, 1), (1, 1), (2, 2), (5, 8), (8, 8)])
def test_power(number: int, expected: int) -> None:
    assert power(number) == expected


def test_rows_fill_slots_in_order_and_repeat() -> None:
    layout = rows((3, 4), 64)
    assert layout.slots.tolist() == list(range(12))
    assert (layout.period, layout.ciphertexts, layout.name) == (16, 1, "rows")


def test_rows_go_on_in_further_ciphertexts() -> None:
    layout = rows((40,), 16)
    assert (layout.period, layout.ciphertexts) == (16, 3)


def test_channels_stand_at_powers_of_two() -> None:
    layout = channels((3, 3, 3), 64)
    assert layout.slots.reshape(3, 9)[:, 0].tolist() == [0, 16, 32]
    assert layout.name == "channels"


def test_phases_bring_pixels_under_one_tap_together() -> None:
    at = phases((2, 4, 4), 64, 2).slots.reshape(2, 4, 4)
    assert at[0, 0::2, 0::2].reshape(-1).tolist() == [0, 1, 2, 3]
    assert at[0, 1::2, 0::2].reshape(-1).tolist() == [8, 9, 10, 11]
    assert at[1, 0, 0] == 16


def test_gaps_interleave_channels() -> None:
    at = gaps((4, 2, 2), 64, 2).slots.reshape(4, 2, 2)
    assert at[:, 0, 0].tolist() == [0, 1, 4, 5]
    assert sorted(at.reshape(-1).tolist()) == list(range(16))


def test_pixels_keep_the_distances_of_a_frame() -> None:
    at = phases((2, 3, 3), 64, 1, frame=(4, 4)).slots.reshape(2, 3, 3)
    assert at[0].tolist() == [[0, 1, 2], [4, 5, 6], [8, 9, 10]]
    assert at[1, 0, 0] == 16
    split = phases((1, 3, 3), 64, 2, frame=(4, 5))
    assert split.name == "phases 2 in 4x5"
    assert split.slots.reshape(3, 3)[0::2, 0::2].tolist() == [[0, 1], [3, 4]]
    inside = gaps((4, 2, 2), 64, 2, frame=(3, 3)).slots.reshape(4, 2, 2)
    assert inside[0].tolist() == [[0, 2], [12, 14]]


def test_a_frame_of_the_own_size_changes_nothing() -> None:
    own, framed = phases((2, 3, 3), 64, 2), phases((2, 3, 3), 64, 2, frame=(3, 3))
    assert own.name == framed.name
    assert own.slots.tolist() == framed.slots.tolist()


def test_spread_leaves_blocks_for_sums() -> None:
    layout = spread(5, 64, 2, 16)
    assert layout.slots.tolist() == [0, 1, 16, 17, 32]
    assert layout.period == 64


@pytest.mark.parametrize(
    "layout",
    [rows((50,), 32), channels((5, 3, 3), 32), phases((3, 5, 5), 64, 3), gaps((6, 4, 4), 64, 2),
     gaps((6, 4, 4), 128, 2, frame=(5, 5)), phases((3, 4, 4), 128, 2, frame=(6, 6)),
     spread(9, 32, 2, 8)],
)  # fmt: skip
def test_no_two_elements_share_a_slot(layout) -> None:
    assert len(set(layout.slots.tolist())) == layout.slots.size


@pytest.mark.parametrize("period", [8, 128])
def test_period_must_hold_the_elements(period: int) -> None:
    with pytest.raises(BackendFailure, match=rf"needs a period in \[16, 64\] \(got {period}\)"):
        laid_out(np.arange(12), 64, "rows", period)
