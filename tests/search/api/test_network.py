"""Sites count their elements; work scales with the share that an operator does."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from search.api.network import Site, Work, fixed_work, scaled_work

CONV = Site("conv", "conv", "conv", (3, 8, 8), (16, 4, 4), macs=6912, weights=432)


def test_elements_count_one_sample() -> None:
    assert CONV.elements == 192
    assert CONV.outputs == 256
    assert Site("s", "other", "scalar", (), ()).elements == 1


def test_fixed_work_is_the_whole_site() -> None:
    assert fixed_work(CONV) == Work("conv", "conv", 1.0, 192.0, 256.0, 6912.0, weights=432)
    assert fixed_work(CONV, "winograd").operator == "winograd"


def test_a_share_of_one_is_fixed_work_and_of_none_is_no_work() -> None:
    assert scaled_work(CONV, "conv", 1.0) == fixed_work(CONV)
    none = scaled_work(CONV, "conv", 0.0)
    assert (none.calls, none.elements, none.outputs, none.macs) == (0.0, 0.0, 0.0, 0.0)


def test_shares_add_up() -> None:
    parts = [scaled_work(CONV, "conv", share) for share in (0.25, 0.75)]
    assert sum(p.elements for p in parts) == pytest.approx(CONV.elements)
    assert sum(p.macs for p in parts) == pytest.approx(CONV.macs)


def test_amounts_may_be_arrays_over_plans() -> None:
    work = scaled_work(CONV, "relu", np.array([0.0, 0.5, 1.0]))
    assert work.elements.tolist() == [0.0, 96.0, 192.0]
    assert work.calls.tolist() == [0.0, 0.5, 1.0]


def test_amounts_may_carry_gradients() -> None:
    share = torch.tensor(0.5, requires_grad=True)
    scaled_work(CONV, "relu", share).elements.backward()
    assert float(share.grad) == CONV.elements
