from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from search.workloads.networks.mobilenet import mobilenet_v2
from search.workloads.networks.resnet import resnet20, resnet50, resnet_mini
from search.workloads.networks.small import lenet5, lenet5_caffe, tiny_cnn
from search.workloads.pruning.shrink import mac_count, parameter_count, shrink
from search.workloads.pruning.unused import unused_paths

Made = Callable[..., fx.GraphModule]
Difference = Callable[..., float]


class Joined(nn.Module):
    """A concatenation, a PReLU by channel, a filter with two outputs for each channel."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Conv2d(2, 6, 3, padding=1), nn.Conv2d(2, 5, 1)
        self.act = nn.PReLU(11, 0.3)
        self.depth = nn.Conv2d(11, 22, 3, groups=11)
        self.classifier = nn.Linear(22 * 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = self.act(torch.cat([self.left(x), self.right(x)], 1))
        y = F.avg_pool2d(self.depth(y), 2)
        logits: Tensor = self.classifier(y.view(y.size(0), -1))
        return logits


NETWORKS = {
    "chain": (lambda: lenet5_caffe((1, 16, 16), 10), (1, 16, 16)),
    "normalised": (lambda: lenet5((1, 20, 20), 10, batch_norm=True), (1, 20, 20)),
    "padded": (lambda: tiny_cnn((1, 16, 16), 10), (1, 16, 16)),
    "residual": (lambda: resnet_mini((1, 14, 14), 10), (1, 14, 14)),
    "padded shortcuts": (lambda: resnet20((3, 8, 8), 10, width=8), (3, 8, 8)),
    "bottlenecks": (lambda: resnet50((3, 8, 8), 10, width=4), (3, 8, 8)),
    "depthwise": (lambda: mobilenet_v2((3, 16, 16), 10, width=0.1), (3, 16, 16)),
    "joined": (Joined, (2, 6, 6)),
}


@pytest.mark.parametrize("share", [0.3, 0.8])
@pytest.mark.parametrize("name", NETWORKS)
def test_smaller_with_the_same_outputs(
    made: Made, difference: Difference, name: str, share: float
) -> None:
    network, shape = NETWORKS[name]
    dense = made(network(), shape, share)
    small = shrink(dense, shape)
    assert difference(small, dense, shape) < 1e-5
    assert parameter_count(small) < 0.9 * parameter_count(dense)
    assert mac_count(small, shape) < 0.9 * mac_count(dense, shape)


def test_layers_have_what_unused_paths_leaves(made: Made) -> None:
    shape = (1, 14, 14)
    dense = made(resnet_mini(shape, 10), shape)
    small = shrink(dense, shape)
    for name, unused in unused_paths(dense, shape).items():
        before, after = (n.get_submodule(name).weight.shape for n in (dense, small))
        assert after[0] == before[0] - len(unused.filters)
        assert after[1] == before[1] - len(unused.channels)


def test_nothing_goes_from_a_dense_network_and_it_is_left_alone(made: Made) -> None:
    shape = (1, 14, 14)
    dense = made(resnet_mini(shape, 10), shape, 0.0).train()
    state = {name: value.clone() for name, value in dense.state_dict().items()}
    small = shrink(dense, shape)
    assert dense.training
    assert not small.training
    for name, value in small.state_dict().items():
        assert torch.equal(value, state[name])
        assert torch.equal(dense.state_dict()[name], state[name])


def test_a_network_of_zeros_keeps_one_filter_a_layer(made: Made, difference: Difference) -> None:
    shape = (1, 16, 16)
    dense = made(lenet5_caffe(shape, 10), shape)
    with torch.no_grad():
        for layer in dense.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                layer.weight.zero_()
    small = shrink(dense, shape)
    assert small.get_submodule("conv2").weight.shape == (1, 1, 5, 5)
    assert difference(small, dense, shape) < 1e-6


def test_the_smaller_network_takes_gradients_and_any_batch(made: Made) -> None:
    shape = (1, 14, 14)
    small = shrink(made(resnet_mini(shape, 10), shape), shape)
    small(torch.randn(7, *shape)).sum().backward()
    assert all(p.grad is not None for p in small.parameters())


def test_macs_by_hand(made: Made) -> None:
    dense = made(nn.Sequential(nn.Conv2d(2, 3, 3), nn.Flatten(), nn.Linear(3 * 4, 5)), (2, 4, 4), 0)
    assert mac_count(dense, (2, 4, 4)) == 4 * 3 * 2 * 9 + 12 * 5
    assert parameter_count(dense) == 3 * 18 + 3 + 60 + 5
