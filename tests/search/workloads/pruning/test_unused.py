import copy
from collections.abc import Callable

import pytest
import torch
from torch import fx, nn

from search.workloads.canonical import canonicalise
from search.workloads.networks.mobilenet import _InvertedResidual
from search.workloads.networks.resnet import resnet20, resnet_mini
from search.workloads.networks.small import lenet5, lenet_300_100, tiny_cnn
from search.workloads.pruning.unused import UnusedPaths, unused_paths, zero_unused

Made = Callable[..., fx.GraphModule]
Difference = Callable[..., float]

NETWORKS = [
    (lambda: lenet5((1, 20, 20), 10, batch_norm=True), (1, 20, 20)),
    (lambda: tiny_cnn((1, 16, 16), 10), (1, 16, 16)),
    (lambda: lenet_300_100((1, 8, 8), 10), (1, 8, 8)),
    (lambda: resnet_mini((1, 14, 14), 10), (1, 14, 14)),
    (lambda: resnet20((3, 8, 8), 10, width=8), (3, 8, 8)),
    (lambda: _InvertedResidual(8, 8, 1, 4), (8, 6, 6)),
]  # fmt: skip


@pytest.mark.parametrize("merge", [False, True])
@pytest.mark.parametrize(("network", "shape"), NETWORKS)
def test_outputs_stay_while_zeros_are_added(
    made: Made,
    difference: Difference,
    network: Callable[[], nn.Module],
    shape: tuple[int, ...],
    merge: bool,
) -> None:
    dense = made(network(), shape)
    own = copy.deepcopy(dense)
    gone = zero_unused(own, shape, merge=merge)
    assert gone > 0
    assert difference(own, dense, shape) < 1e-5
    assert own.state_dict().keys() == dense.state_dict().keys()
    assert zero_unused(own, shape, merge=merge) == 0


def chain(padding: int = 0) -> fx.GraphModule:
    """Two convolutions, the first with a filter of zeros whose bias is 2."""
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 5, 3, padding=padding),
        nn.Flatten(), nn.Linear(5 * (2 + 2 * padding) ** 2, 2),
    )  # fmt: skip
    with torch.no_grad():
        network[0].weight[1] = 0
        network[0].bias[1] = 2.0  # type: ignore[index]
    return canonicalise(network, (3, 10, 10)).eval()


def test_a_constant_goes_into_the_next_bias(difference: Difference) -> None:
    network, own = chain(), chain()
    own.load_state_dict(network.state_dict())
    assert zero_unused(own, (3, 10, 10)) == 5 * 9
    change = own.get_parameter("3.bias") - network.get_parameter("3.bias")
    assert torch.allclose(change, 2 * network.get_parameter("3.weight")[:, 1].sum((1, 2)))
    assert difference(own, network, (3, 10, 10)) < 1e-5
    found = unused_paths(network, (3, 10, 10))
    assert found == {
        "0": UnusedPaths(filters=(1,)), "3": UnusedPaths(channels=(1,)), "5": UnusedPaths(),
    }  # fmt: skip


def test_padding_holds_a_constant_and_says_so(difference: Difference) -> None:
    network = chain(padding=1)
    assert unused_paths(network, (3, 10, 10))["0"] == UnusedPaths(held=(1,))
    with torch.no_grad():
        network.get_parameter("0.weight")[3] = 0
        network.get_parameter("0.bias")[3] = 1.0
    assert unused_paths(network, (3, 10, 10))["0"] == UnusedPaths(filters=(3,), held=(1,))
    with torch.no_grad():  # ReLU makes it zero, which padding does not change
        network.get_parameter("0.bias")[[1, 3]] = -1.0
    assert unused_paths(network, (3, 10, 10))["0"] == UnusedPaths(filters=(1, 3))


def test_what_nobody_reads_goes_back_to_the_first_layer() -> None:
    network = chain()
    with torch.no_grad():
        network.get_parameter("0.weight").add_(0.1)
        network.get_parameter("5.weight")[:, 4 * 2 : 4 * 4] = 0  # filters 2 and 3 of layer 3
        network.get_parameter("3.weight")[[0, 1, 4], 0] = 0  # filters that are read skip channel 0
    found = unused_paths(network, (3, 10, 10))
    assert found == {
        "0": UnusedPaths(filters=(0,)),
        "3": UnusedPaths(filters=(2, 3), channels=(0,)),
        "5": UnusedPaths(channels=tuple(range(8, 16))),
    }
    gone = zero_unused(network, (3, 10, 10))
    assert gone == 3 * 9 + 2 * 4 * 9
    assert network.get_parameter("0.bias")[0] == 0


def test_an_addition_needs_both_sides() -> None:
    shape = (1, 14, 14)
    network = canonicalise(resnet_mini(shape, 10), shape).eval()
    with torch.no_grad():
        network.get_parameter("stem.conv.weight")[0] = 0
    found = unused_paths(network, shape)
    assert found["stem.conv"] == UnusedPaths(held=(0,))
    with torch.no_grad():
        for name in ("stage1.0.conv2", "stage1.1.conv2", "stage1.2.conv2"):
            network.get_parameter(f"{name}.weight")[0] = 0
    found = unused_paths(network, shape)
    assert found["stem.conv"].filters == found["stage1.2.conv2"].filters == (0,)
    assert found["stage1.1.conv1"].channels == found["stage2.0.conv1"].channels == (0,)


def test_weights_on_a_mask_stay_on_it_unless_merging_is_asked_for(made: Made) -> None:
    shape = (1, 16, 16)
    dense = made(tiny_cnn(shape, 10), shape)
    plain, merged = copy.deepcopy(dense), copy.deepcopy(dense)
    fewer, most = zero_unused(plain, shape), zero_unused(merged, shape, merge=True)
    assert most > fewer
    for name, value in plain.named_parameters():
        if name.endswith("weight"):
            kept = value != 0
            assert torch.equal(value[kept], dense.get_parameter(name)[kept])


def test_a_layer_without_bias_leaves_it_to_the_norm_behind(difference: Difference) -> None:
    shape = (2, 5, 5)
    network = canonicalise(
        nn.Sequential(nn.Conv2d(2, 3, 1), nn.Conv2d(3, 3, 1, bias=False), nn.BatchNorm2d(3)), shape
    ).eval()
    with torch.no_grad():
        network.get_parameter("0.weight")[2] = 0
        network.get_parameter("0.bias")[2] = 1.5
    own = copy.deepcopy(network)
    assert zero_unused(own, shape) == 3
    assert difference(own, network, shape) < 1e-5
    assert own.get_buffer("2.running_mean").abs().min() > 0
    # Without one there is no place for the constant under the old names.
    bare = canonicalise(nn.Sequential(*list(network.children())[:2]), shape).eval()
    assert zero_unused(bare, shape) == 0
    assert unused_paths(bare, shape)["0"].filters == (2,)  # a smaller network gets a bias


def test_the_mode_of_the_network_stays() -> None:
    network = chain().train()
    zero_unused(network, (3, 10, 10))
    assert network.training
