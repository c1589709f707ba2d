from collections.abc import Callable

import pytest
import torch
from torch import Tensor, fx, nn

from search.workloads.canonical import canonicalise
from search.workloads.networks.resnet import resnet_mini
from search.workloads.pruning.channels import Channels, evaluating

SHAPE = (1, 14, 14)
Made = Callable[..., fx.GraphModule]


def node(channels: Channels, name: str) -> fx.Node:
    return next(s.node for s in channels.steps if str(s.node.target) == name)


class Values(fx.Interpreter):
    """Keeps what every node gives."""

    def __init__(self, network: fx.GraphModule) -> None:
        super().__init__(network)
        self.found: dict[fx.Node, Tensor] = {}

    def run_node(self, n: fx.Node) -> Tensor:
        self.found[n] = super().run_node(n)
        return self.found[n]


@pytest.mark.parametrize("share", [0.3, 0.8])
def test_constants_are_what_the_network_gives(made: Made, share: float) -> None:
    network = made(resnet_mini(SHAPE, 10, width=8), SHAPE, share)
    channels = Channels(network, SHAPE)
    runner = Values(network)
    with torch.no_grad():
        runner.run(torch.randn(3, *SHAPE))
    seen = 0
    for at, constants in channels.constants().items():
        values = runner.found[at].transpose(0, 1).flatten(1).double()
        expected = constants.value[constants.known][:, None].expand_as(values[constants.known])
        assert torch.allclose(values[constants.known], expected, atol=1e-5)
        seen += int(constants.known.sum())
    assert seen > 20


def test_changing_what_is_not_needed_changes_nothing(made: Made) -> None:
    network = made(resnet_mini(SHAPE, 10, width=8), SHAPE, 0.5)
    channels = Channels(network, SHAPE)
    x = torch.randn(3, *SHAPE)
    with torch.no_grad():
        before = network(x)
        idle = 0
        for step in channels.steps:
            if step.kind == "product":
                off = ~channels.needed()[step.node]
                assert isinstance(step.module, nn.Conv2d | nn.Linear)
                step.module.weight[off] += 1.0
                idle += int(off.sum())
        assert torch.equal(network(x), before)
    assert idle > 5


def test_what_additions_tie_goes_together() -> None:
    network = canonicalise(resnet_mini(SHAPE, 10), SHAPE)
    channels = Channels(network, SHAPE)
    stem = channels.slots(node(channels, "stem.conv"))
    for name in ("stage1.0.conv2", "stage1.2.bn2", "stage1.1.relu2", "stage1.pool"):
        assert torch.equal(channels.slots(node(channels, name)), stem)
    inner = channels.slots(node(channels, "stage1.0.conv1"))
    assert not set(inner.tolist()) & set(stem.tolist())


def test_groups_are_those_of_torch_pruning() -> None:
    tp = pytest.importorskip("torch_pruning")
    network = canonicalise(resnet_mini(SHAPE, 10), SHAPE).eval()
    channels = Channels(network, SHAPE)
    graph = tp.DependencyGraph().build_dependency(network, torch.randn(1, *SHAPE))
    layers = [s for s in channels.steps if s.kind == "product"]
    for step in layers[:-1]:
        group = graph.get_pruning_group(step.module, tp.prune_conv_out_channels, idxs=[1])
        theirs = {
            id(item.dep.target.module)
            for item in group
            if item.dep.handler == tp.prune_conv_out_channels
        }
        mine = channels.slots(step.node)[1]
        same = {id(s.module) for s in layers if (channels.slots(s.node) == mine).any()}
        assert same == theirs


def test_outputs_and_inputs_stay_and_no_layer_is_left_empty() -> None:
    network = canonicalise(
        nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(), nn.Conv2d(4, 2, 1)), (3, 4, 4)
    )
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
    kept = Channels(network, (3, 4, 4)).kept()
    assert [int(mask.sum()) for mask in kept.values()] == [3, 1, 1, 2]


def test_modes_come_back() -> None:
    network = nn.Sequential(nn.ReLU(), nn.Dropout().eval())
    with evaluating(network):
        assert not network.training
    assert [m.training for m in network] == [True, False]
