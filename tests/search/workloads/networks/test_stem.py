import pytest
import torch
from torch import nn

from search.workloads.networks.stem import Stem, he_initialised, stem_for


@pytest.mark.parametrize(
    ("side", "given", "expected"),
    [
        (32, None, "cifar"),
        (127, None, "cifar"),
        (128, None, "imagenet"),
        (32, "imagenet", "imagenet"),
    ],
)
def test_stem_follows_the_smaller_side(side: int, given: Stem | None, expected: Stem) -> None:
    assert stem_for((3, side, 300), given) == expected


def test_he_initialisation_has_the_right_spread() -> None:
    torch.manual_seed(0)
    network = he_initialised(nn.Sequential(nn.Conv2d(32, 64, 3), nn.Linear(4, 4)))
    assert float(network[0].weight.std().detach()) == pytest.approx((2 / (64 * 9)) ** 0.5, rel=0.05)
