from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from evaluators.fhe.graph import Graph
from evaluators.fhe.reference import run
from evaluators.fhe.trace import graph_of
from search.api.errors import EvaluationError
from search.workloads.dapa import Polynomial
from search.workloads.networks.encrypted import ckks_cnn6, ckks_lenet, ckks_lola, ckks_mlp
from search.workloads.networks.resnet import resnet20
from search.workloads.operators import X2Act
from search.workloads.square import Square

SHAPE = (2, 8, 8)


class Block(nn.Module):
    """Shortcuts of both kinds, groups, a depthwise convolution, slices, a concatenation."""

    def __init__(self, activation: Callable[[int], nn.Module]) -> None:
        super().__init__()
        self.c0, self.a0 = nn.Conv2d(2, 4, 3, padding=1), activation(4)
        self.c1, self.b1, self.a1 = nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4), activation(4)
        self.c2, self.a2 = nn.Conv2d(4, 4, 3, padding=1), activation(4)
        self.c3, self.dw = nn.Conv2d(4, 8, 3, 2, 1, groups=2), nn.Conv2d(8, 8, 3, 1, 1, groups=8)
        self.sc, self.a3, self.fc = nn.Conv2d(4, 8, 1, 2), activation(8), nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.a0(self.c0(x))
        x = self.a2(x + self.c2(self.a1(self.b1(self.c1(x)))))
        x = self.a3(self.dw(self.c3(x)) + self.sc(x))
        x = torch.cat([x[:, :4], x[:, 4:]], 1)
        logits: torch.Tensor = self.fc(x.mean((2, 3)))
        return logits


def trained(network: nn.Module) -> nn.Module:
    """Statistics and coefficients as no fresh network has them."""
    generator = torch.Generator().manual_seed(0)
    for module in network.modules():
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
            for tensor in (module.running_mean, module.bias):
                assert tensor is not None
                tensor.data.normal_(0, 0.3, generator=generator)
            assert module.running_var is not None
            module.running_var.uniform_(0.5, 2.0, generator=generator)
        if isinstance(module, Polynomial):
            channels = module.a.shape[1]
            module.fit(torch.randn(channels), 0.5 + torch.rand(channels))
        if isinstance(module, X2Act):
            module.w1.data.fill_(-0.4)  # negative: both signs must come through additions
    return network.double().eval()


def error(network: nn.Module, graph: Graph, shape: tuple[int, ...]) -> float:
    x = torch.rand(3, *shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        return float(np.abs(network(x).numpy() - run(graph, x.numpy())).max())


@pytest.mark.parametrize("factory", [ckks_mlp, ckks_lola, ckks_lenet, ckks_cnn6])
def test_the_shipped_networks(factory: Callable[..., nn.Module]) -> None:
    shape = (1, 28, 28)
    network = trained(factory(shape, 10))
    assert error(network, graph_of(network, shape), shape) < 1e-12


ACTIVATIONS: dict[str, Callable[[int], nn.Module]] = {
    "square": lambda _: Square(),
    "x2act": lambda channels: X2Act(64, per="channel", channels=channels),
    "poly2": lambda channels: Polynomial(2, channels),
    "poly1": lambda channels: Polynomial(1, channels),
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_shortcuts_groups_and_polynomials(name: str) -> None:
    network = trained(Block(ACTIVATIONS[name]))
    graph = graph_of(network, SHAPE)
    assert error(network, graph, SHAPE) < 1e-9
    assert {node.kind for node in graph.nodes} <= {"input", "linear", "square", "add"}
    # No completed square costs a level: no map but the network's own.
    assert not [node.name for node in graph.nodes if "scaled" in node.name]


def test_nodes_in_order_with_sites_and_shapes() -> None:
    graph = graph_of(trained(Block(ACTIVATIONS["square"])), SHAPE)
    names = [node.name for node in graph.nodes]
    assert names[0] == "input"
    assert names[-1] == "fc"
    assert len(set(names)) == len(names)
    for index, node in enumerate(graph.nodes):
        assert set(node.inputs) <= set(names[:index])
    by_name = {node.name: node for node in graph.nodes}
    assert by_name["c3"].shape == (8, 4, 4)
    assert by_name["c3"].linear is not None
    assert by_name["c3"].linear.stride == 2
    assert by_name["fc"].sites[-1] == "fc"
    assert graph.ranges == {}


def test_ranges_are_of_the_calibration_data() -> None:
    network = trained(ckks_mlp((1, 4, 4), 3, hidden=(5,)))
    x = np.random.default_rng(0).normal(size=(7, 1, 4, 4))
    graph = graph_of(network, (1, 4, 4), calibration=x)
    assert graph.ranges["input"] == np.abs(x).max()
    assert graph.ranges["classifier"] == pytest.approx(np.abs(run(graph, x)).max())
    assert set(graph.ranges) == {node.name for node in graph.nodes}


def test_a_result_that_is_a_polynomial_is_completed() -> None:
    network = nn.Sequential(nn.Linear(4, 3), X2Act(3)).double().eval()
    graph = graph_of(network, (4,))
    assert [node.kind for node in graph.nodes] == ["input", "linear", "square", "linear"]
    assert error(network, graph, (4,)) < 1e-10


@pytest.mark.parametrize(
    ("network", "shape", "message"),
    [
        (nn.Sequential(nn.Conv2d(1, 1, 3), nn.MaxPool2d(2)), (1, 8, 8), "1: maxpool .*average"),
        (nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4)), (4,), "1: LayerNorm"),
        (nn.Sequential(nn.Linear(4, 4), Polynomial(3, 4)), (4,), "1: a polynomial of degree 3"),
        (nn.Sequential(nn.Linear(4, 4), nn.SELU()), (4,), "1: SELU"),
    ],
    ids=lambda value: str(value)[:12],
)
def test_what_has_no_form_names_its_site(
    network: nn.Module, shape: tuple[int, ...], message: str
) -> None:
    with pytest.raises(EvaluationError, match=message):
        graph_of(network.eval(), shape)


def test_a_square_that_is_missing_in_some_channels() -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 1), X2Act(8, per="channel", channels=2)).eval()
    activation = network[1]
    assert isinstance(activation, X2Act)
    activation.w1.data[0] = 0.0
    with pytest.raises(EvaluationError, match="1: the quadratic coefficient is zero in 4 of 8"):
        graph_of(network, (1, 2, 2))


def test_a_diverged_network() -> None:
    network = nn.Linear(3, 3).eval()
    nn.init.constant_(network.weight, float("nan"))
    with pytest.raises(EvaluationError, match="its training diverged"):
        graph_of(network, (3,))


def test_relu_must_be_replaced() -> None:
    from search.api.errors import ConfigError

    with pytest.raises(ConfigError, match="stem.relu: relu is no polynomial .*sign_relu"):
        graph_of(resnet20((1, 8, 8), 3, width=2).eval(), (1, 8, 8))
