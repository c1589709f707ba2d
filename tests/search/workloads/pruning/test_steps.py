import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from search.api.errors import ConfigError
from search.workloads.canonical import canonicalise
from search.workloads.pruning.steps import Step, node_shapes, steps_of

SHAPE = (4, 6, 6)


def steps(module: nn.Module, shape: tuple[int, ...] = SHAPE) -> tuple[Step, ...]:
    network = canonicalise(module, shape).eval()
    return steps_of(network, node_shapes(network, shape))


def kinds(module: nn.Module, shape: tuple[int, ...] = SHAPE) -> list[str]:
    return [step.kind for step in steps(module, shape)][1:-1]


class Views(nn.Module):
    """What people write in front of a classifier."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how

    def forward(self, x: Tensor) -> Tensor:
        if self.how == "size":
            return x.view(x.size(0), -1)
        if self.how == "shape":
            return x.reshape(x.shape[0], -1)
        return torch.flatten(x, 1) if self.how == "flatten" else x.view(-1, 144)


@pytest.mark.parametrize("how", ["size", "shape", "flatten"])
def test_ways_to_flatten(how: str) -> None:
    assert [k for k in kinds(Views(how)) if k != "size"] == ["flatten"]


def test_a_view_of_fixed_size_is_a_barrier() -> None:
    assert kinds(Views("fixed")) == ["barrier"]


class Odd(nn.Module):
    """Padded, thinned, concatenated, added."""

    def forward(self, x: Tensor) -> Tensor:
        y = torch.cat([x, F.pad(x[:, :, ::1, ::1], (0, 0, 0, 0, 1, 3))], 1)
        return y + y


def test_channels_of_zeros_and_concatenations() -> None:
    thinned, pad, cat, add = steps(Odd())[1:-1]
    assert (thinned.kind, pad.kind, cat.kind, add.kind) == ("map", "pad", "cat", "add")
    assert (pad.pad, pad.width) == ((1, 3), 8)
    assert (cat.width, cat.offsets) == (12, (0, 4, 12))
    assert add.sources == (cat.node, cat.node)


@pytest.mark.parametrize(
    ("layer", "kind"),
    [
        (nn.Conv2d(4, 4, 3, groups=4), "product"),
        (nn.Conv2d(4, 4, 3, groups=2), "barrier"),
        (nn.ConvTranspose2d(4, 4, 3), "barrier"),
        (nn.Linear(6, 6), "barrier"),  # acts on the last axis, not on channels
        (nn.BatchNorm2d(4), "norm"),
        (nn.BatchNorm2d(4, track_running_stats=False), "barrier"),
        (nn.GroupNorm(2, 4), "barrier"),
        (nn.ReLU(), "map"),
        (nn.Softmax(1), "barrier"),
        (nn.MaxPool2d(2, padding=1), "pool"),
    ],
)
def test_what_modules_do(layer: nn.Module, kind: str) -> None:
    assert kinds(nn.Sequential(nn.Identity(), layer)) == ["map", kind]


def test_average_pools_that_count_zeros_are_not_uniform() -> None:
    pools = (
        nn.AvgPool2d(2, padding=1),
        nn.AvgPool2d(2),
        nn.AvgPool2d(2, padding=1, count_include_pad=False),
    )
    found = [steps(nn.Sequential(nn.Identity(), pool))[2].uniform for pool in pools]
    assert found == [False, True, True]


def test_a_layer_that_is_called_twice_is_a_barrier() -> None:
    layer = nn.Conv2d(4, 4, 1)
    assert kinds(nn.Sequential(layer, nn.ReLU(), layer)) == ["barrier", "map", "barrier"]
    one, other = nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1)
    other.weight = one.weight
    assert kinds(nn.Sequential(one, other)) == ["barrier", "barrier"]


def test_a_wrong_shape_is_told() -> None:
    network = canonicalise(nn.Conv2d(4, 4, 1), SHAPE)
    with pytest.raises(ConfigError, match="does not run on inputs of shape"):
        node_shapes(network, (5, 6, 6))
