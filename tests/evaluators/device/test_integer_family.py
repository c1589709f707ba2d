from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from evaluators.device.integer_family import IntegerOptions, family_for
from search.api.errors import EvaluationError
from search.workloads.canonical import canonicalise
from search.workloads.data.splits import Split, Splits
from search.workloads.nested import NestedWeights, private_state, save_nested, shared_weights
from spaces.eve.family import Execution, LayerMode, ModeFamily, ModePlan

SHAPE = (1, 2, 3)
TILES = Execution(1, 1, 2, 3, "reuse_W", 4)


class Tiny:
    """A real network and real tensors."""

    def __init__(self) -> None:
        x = torch.randn(40, *SHAPE, generator=torch.Generator().manual_seed(0))
        x[30] = 50.0
        part = Split(x, (x.sum(dim=(1, 2, 3)) > 0).long())
        self.data = Splits(part, part, part, 2, SHAPE, "signs", "0" * 16, (0.0,), (1.0,))

    def build(self, seed: int) -> nn.Module:
        torch.manual_seed(seed)
        return canonicalise(nn.Sequential(nn.Flatten(), nn.Linear(6, 2)), SHAPE)


def family(modes: int = 2, bits: int = 8) -> ModeFamily:
    layers = (LayerMode("1", "block", 2, 4, TILES),)
    return ModeFamily(tuple(ModePlan(k, layers, bits) for k in range(1, modes + 1)))


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    network = Tiny().build(0)
    shared = {n: w.detach() for n, w in shared_weights(network).items()}
    levels = {n: torch.ones_like(w, dtype=torch.uint8) for n, w in shared.items()}
    own = private_state(network)
    return save_nested(NestedWeights((0.5, 1.0), shared, levels, {}, (own, own)), tmp_path / "w")


def test_schedules_and_units_come_from_the_payload(weights: Path) -> None:
    made = family_for(Tiny(), family(), weights, IntegerOptions())
    assert [dict(t) for t in made.tiles] == [{"1": TILES}, {"1": TILES}]
    assert made.units == {"1": ("block", 3)}
    assert (made.bits, made.modes) == (8, 2)


def test_one_mode_gives_the_same_integers_without_schedule(weights: Path) -> None:
    whole = family_for(Tiny(), family(bits=16), weights, IntegerOptions())
    made = family_for(Tiny(), family(bits=16).members[0], weights, IntegerOptions())
    assert made.tiles == ()
    assert made.bits == 16
    assert torch.equal(made.layers["1"].weight, whole.layers["1"].weight)


def test_calibration_sees_as_many_training_images_as_told(weights: Path) -> None:
    few = family_for(Tiny(), family(), weights, IntegerOptions(calibration_images=30))
    all_ = family_for(Tiny(), family(), weights, IntegerOptions(calibration_images=40))
    assert few.input_fraction == 5
    assert all_.input_fraction == 1  # one image has 50 everywhere


def test_another_familys_weights_are_refused(weights: Path) -> None:
    with pytest.raises(EvaluationError, match="2 modes .expected 3"):
        family_for(Tiny(), family(3), weights, IntegerOptions())
    with pytest.raises(EvaluationError, match="no mode 3"):
        family_for(Tiny(), family(3).members[2], weights, IntegerOptions())
