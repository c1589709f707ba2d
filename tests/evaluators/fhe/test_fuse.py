import numpy as np
import torch
from torch import nn

from evaluators.fhe.draft import Draft
from evaluators.fhe.fuse import fuse
from evaluators.fhe.trace import draft_of
from search.workloads.square import Square


def fused(network: nn.Module, shape: tuple[int, ...]) -> Draft:
    draft = draft_of(network.eval(), shape)
    fuse(draft)
    return draft


def kinds(network: nn.Module, shape: tuple[int, ...]) -> list[tuple[str, str]]:
    return [(op.label, str(op.kind)) for op in fused(network, shape).ops.values()][1:]


def test_pools_and_flattening_vanish_into_layers() -> None:
    network = nn.Sequential(
        nn.Conv2d(1, 4, 3),
        nn.AvgPool2d(2),
        Square(),
        nn.AvgPool2d(3),
        nn.Flatten(),
        nn.Linear(4, 2),
    )
    found = fused(network, (1, 8, 8))
    assert [(op.label, op.kind) for op in found.ops.values()] == [
        ("input", "input"), ("0", "linear"), ("2", "quadratic"), ("5", "linear"),
    ]  # fmt: skip
    first, _, last = list(found.ops.values())[1:]
    assert (first.sites, first.stride, first.shape) == (("0", "1"), 2, (4, 3, 3))
    assert last.sites == ("3", "5")


def test_a_bottleneck_stays_two_layers() -> None:
    narrow = nn.Sequential(nn.Linear(16, 2), nn.Linear(2, 16))
    wide = nn.Sequential(nn.Linear(4, 32), nn.Linear(32, 4))
    assert kinds(narrow, (16,)) == [("0", "linear"), ("1", "linear")]
    assert kinds(wide, (4,)) == [("1", "linear")]


class Branches(nn.Module):
    """A shortcut: itself or a convolution, and what comes behind the sum."""

    def __init__(self, *, projected: bool, activation: bool = False) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 2, 3, padding=1)
        self.shortcut = nn.Conv2d(2, 2, 1) if projected else nn.Identity()
        self.act = Square() if activation else nn.Identity()
        self.last = nn.Conv2d(2, 2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.last(self.conv(self.act(x)) + self.shortcut(x))
        return out


def test_a_sum_of_maps_of_one_tensor_is_one_map() -> None:
    for projected in (False, True):
        network = Branches(projected=projected)
        (_, op) = fused(network, (2, 4, 4)).ops.values()
        x = torch.randn(3, 2, 4, 4)
        matrix, bias = op.linear
        with torch.no_grad():
            expected = network(x).flatten(1).numpy()
        np.testing.assert_allclose((matrix @ x.flatten(1).numpy().T).T + bias, expected, atol=1e-5)


def test_a_layer_behind_a_sum_goes_into_its_parts() -> None:
    found = kinds(Branches(projected=True, activation=True), (2, 4, 4))
    assert found == [
        ("act", "quadratic"), ("last", "linear"), ("last.part2", "linear"), ("add", "add"),
    ]  # fmt: skip


def test_a_sum_with_another_part_keeps_the_layer_behind() -> None:
    found = kinds(Branches(projected=False, activation=True), (2, 4, 4))
    assert found == [
        ("act", "quadratic"), ("conv", "linear"), ("add", "add"), ("last", "linear"),
    ]  # fmt: skip


def test_a_layer_with_two_readers_is_not_done_twice() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.last, self.act = nn.Linear(3, 3), nn.Linear(3, 3), Square()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = self.first(x)
            out: torch.Tensor = self.last(y) + self.act(y)
            return out

    assert [label for label, _ in kinds(Two(), (3,))] == ["first", "last", "act", "add"]


def test_twice_the_same_is_a_factor() -> None:
    class Twice(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + x

    _, op = fused(Twice(), (3,)).ops.values()
    assert (op.linear[0].toarray() == 2 * np.eye(3)).all()
